// The files `evidence export` and `evidence prove` write, as bytes, and their verification. Strict
// canonical JSON lines: every byte carries meaning, so any changed byte is found, and each entry stands
// beside its own hash, so damage is located. See docs/decisions, "The format of exported evidence".
//
//   {"schema":"corral-evidence/1","verifier_key":"…"}
//   {"event":{…},"hash":"<base64 RFC 6962 leaf hash>","index":0}      one line an entry
//   {"checkpoint":"…"}
//
// A proof file is one such line: the proof object in canonical JSON.
import { equalBytes, fromUtf8, hashFromBase64, toBase64, utf8 } from './bytes.ts';
import { canonicalJson, parseCanonicalJson } from './canonical-json.ts';
import { EvidenceError } from './evidence-error.ts';
import type {
  EvidenceBundle,
  EvidenceProof,
  Verification,
  VerifyOptions,
} from './evidence-types.ts';
import { leafHash } from './merkle-tree.ts';
import { checkHead, checkSize, Findings, HistoryCheck, olderHead, verifyProof } from './verify.ts';

/** The lines of an exported log, one at a time, for logs that are larger than memory. */
export const bundleLine = {
  first: (verifierKey: string): string =>
    `${canonicalJson({ schema: 'corral-evidence/1', verifier_key: verifierKey })}\n`,
  /** Throws `not_canonical` for a bad leaf. */
  entry: (leaf: string, index: number): string => {
    const event = parseCanonicalJson(leaf);
    return `${canonicalJson({ event, hash: toBase64(leafHash(utf8(leaf))), index })}\n`;
  },
  last: (checkpoint: string): string => `${canonicalJson({ checkpoint })}\n`,
} as const;

/** The lines of an exported log, each ending in a newline. Throws `not_canonical` for a bad leaf. */
export function* bundleFileLines(bundle: EvidenceBundle): Generator<string> {
  yield bundleLine.first(bundle.verifier_key);
  for (const [index, leaf] of bundle.leaves.entries()) yield bundleLine.entry(leaf, index);
  yield bundleLine.last(bundle.checkpoint);
}

/** The file of one proof. */
export const proofFileText = (proof: EvidenceProof): string =>
  `${canonicalJson({
    schema: proof.schema,
    index: proof.index,
    leaf: proof.leaf,
    proof: proof.proof,
    checkpoint: proof.checkpoint,
    verifier_key: proof.verifier_key,
  })}\n`;

interface Line {
  /** One-based. */
  readonly line: number;
  readonly bytes: { readonly start: number; readonly end: number };
  readonly content: Uint8Array;
}

function splitLines(file: Uint8Array): Line[] {
  const lines: Line[] = [];
  let start = 0;
  while (start < file.length) {
    const newline = file.indexOf(0x0a, start);
    const end = newline < 0 ? file.length : newline;
    lines.push({
      line: lines.length + 1,
      bytes: { start, end: newline < 0 ? end : end + 1 },
      content: file.subarray(start, end),
    });
    start = end + 1;
  }
  return lines;
}

/** The object on a line, with exactly the given members; throws `file_malformed` or `not_canonical`. */
function readObject(line: Line, members: readonly string[]): Record<string, unknown> {
  let text: string;
  try {
    text = fromUtf8(line.content);
  } catch {
    throw new EvidenceError('file_malformed', `Line ${line.line} is not UTF-8.`);
  }
  const value = parseCanonicalJson(text);
  const found = typeof value === 'object' && value !== null ? Object.keys(value) : [];
  if (found.join() !== members.toSorted().join()) {
    throw new EvidenceError(
      'file_malformed',
      `Line ${line.line} must be an object with exactly: ${members.join(', ')}.`,
    );
  }
  return value as Record<string, unknown>;
}

function stringMember(object: Record<string, unknown> | undefined, name: string): string {
  const value = object?.[name];
  if (typeof value === 'string') return value;
  throw new EvidenceError('file_malformed', `"${name}" is not a string.`);
}

interface Entry {
  readonly index: unknown;
  readonly recorded: Uint8Array;
  readonly computed: Uint8Array;
}

function readEntry(line: Line): Entry {
  const object = readObject(line, ['event', 'hash', 'index']);
  return {
    index: object['index'],
    recorded: hashFromBase64(stringMember(object, 'hash'), `The hash on line ${line.line}`),
    computed: leafHash(utf8(canonicalJson(object['event']))),
  };
}

/** Where entries and signed root disagree, said as exactly as hashes allow. */
function reportRoots(
  findings: Findings,
  signedRoot: Uint8Array | undefined,
  roots: { readonly recorded: Uint8Array; readonly computed: Uint8Array },
  changed: readonly { readonly leaf: number; readonly line: Line }[],
): void {
  const contentHolds = signedRoot !== undefined && equalBytes(roots.computed, signedRoot);
  const hashesHold = signedRoot !== undefined && equalBytes(roots.recorded, signedRoot);
  for (const { leaf, line } of changed) {
    const where = { leaf, line: line.line, bytes: line.bytes };
    if (contentHolds) {
      findings.add('hash_changed', `The recorded hash of entry ${leaf} was changed.`, where);
    } else {
      const voucher = hashesHold ? ', and the signed root vouches for that hash' : '';
      findings.add(
        'entry_changed',
        `Entry ${leaf} was changed: it does not have its recorded hash${voucher}.`,
        where,
      );
    }
  }
  if (signedRoot !== undefined && !contentHolds && !hashesHold) {
    findings.add(
      'root_mismatch',
      'The recorded hashes are not those that the head was signed over: entries were replaced, removed, added or moved together with their hashes.',
    );
  }
}

function verifyBundleLines(
  lines: readonly Line[],
  options: VerifyOptions,
  findings: Findings,
): Verification {
  const [first, last] = [lines[0], lines.at(-1)];
  if (first === undefined || last === undefined || lines.length < 2) {
    findings.add('file_malformed', 'The file has no head: it was cut.');
    return findings.verdict('bundle', undefined, null);
  }
  const ends = findings.attempt('file_malformed', { line: 1, bytes: first.bytes }, () => {
    const header = readObject(first, ['schema', 'verifier_key']);
    return stringMember(header, 'verifier_key');
  });
  const checkpoint = findings.attempt(
    'file_malformed',
    { line: last.line, bytes: last.bytes },
    () => stringMember(readObject(last, ['checkpoint']), 'checkpoint'),
  );
  const file = { checkpoint: checkpoint ?? '', verifier_key: ends ?? '' };
  const readable = ends !== undefined && checkpoint !== undefined;
  const head = readable ? checkHead(findings, file, options) : undefined;
  const older = readable ? olderHead(findings, options, file.verifier_key) : undefined;

  const recorded = new HistoryCheck(older);
  const computed = new HistoryCheck(older);
  const changed: { leaf: number; line: Line }[] = [];
  let unreadable = 0;
  for (const [leaf, line] of lines.slice(1, -1).entries()) {
    const where = { leaf, line: line.line, bytes: line.bytes };
    const entry = findings.attempt('entry_malformed', where, () => readEntry(line));
    if (entry === undefined) {
      unreadable += 1;
      continue;
    }
    if (entry.index !== leaf) {
      const message = `Entry ${String(entry.index)} stands where entry ${leaf} belongs.`;
      findings.add('entry_malformed', message, where);
    }
    if (!equalBytes(entry.recorded, entry.computed)) changed.push({ leaf, line });
    recorded.append(entry.recorded);
    computed.append(entry.computed);
  }
  checkSize(findings, lines.length - 2, head);
  if (unreadable === 0) {
    const roots = { recorded: recorded.root(), computed: computed.root() };
    reportRoots(findings, computed.size === head?.size ? head.root : undefined, roots, changed);
    computed.report(findings);
  }
  return findings.verdict('bundle', head, ends ?? null);
}

function verifyProofLine(line: Line, options: VerifyOptions, findings: Findings): Verification {
  const members = ['schema', 'index', 'leaf', 'proof', 'checkpoint', 'verifier_key'];
  const proof = findings.attempt('file_malformed', { line: 1, bytes: line.bytes }, () => {
    const object = readObject(line, members);
    const { schema, index, proof: siblings } = object;
    if (schema !== 'corral-proof/1') {
      throw new EvidenceError('file_malformed', 'The schema is not "corral-proof/1".');
    }
    if (typeof index !== 'number' || !Array.isArray(siblings)) {
      throw new EvidenceError('file_malformed', 'A proof needs a number "index", a list "proof".');
    }
    return {
      schema: 'corral-proof/1' as const,
      index,
      leaf: stringMember(object, 'leaf'),
      proof: siblings.map((_, at) => stringMember(Object.fromEntries(siblings.entries()), `${at}`)),
      checkpoint: stringMember(object, 'checkpoint'),
      verifier_key: stringMember(object, 'verifier_key'),
    };
  });
  if (proof === undefined || findings.count > 0) return findings.verdict('proof', undefined, null);
  return verifyProof(proof, options);
}

/**
 * Verifies the bytes of an exported log or proof file: any changed, added or missing byte is a problem.
 * Never throws for bad content. Limit: the file is held in memory.
 */
export function verifyEvidenceFile(file: Uint8Array, options: VerifyOptions = {}): Verification {
  const findings = new Findings();
  const lines = splitLines(file);
  const [first] = lines;
  if (file.at(-1) !== 0x0a) {
    findings.add('file_malformed', 'The file does not end in a newline: it was cut or extended.');
  }
  const start = Buffer.from(first?.content.subarray(0, 4096) ?? []).toString('latin1');
  if (start.startsWith('{"schema":"corral-evidence/1",')) {
    return verifyBundleLines(lines, options, findings);
  }
  if (first !== undefined && lines.length === 1 && start.startsWith('{"checkpoint":')) {
    return verifyProofLine(first, options, findings);
  }
  findings.add('file_malformed', 'Neither an exported log (corral-evidence/1) nor a proof file.');
  return findings.verdict('unknown', undefined, null);
}
