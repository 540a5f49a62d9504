// Tokenises what people, tools and models wrote so that none of it becomes a control token, nor one of the
// tags that mark a call of a tool or its result in vocabularies that have tokens for them.
import type { NativeVocabulary } from '../llama-cpp/native-types.ts';

/** Written by templates and by models, meant by nobody else. */
const guardedTags = ['<tool_call>', '</tool_call>', '<tool_response>', '</tool_response>'];

/** What text must not become. */
interface Reserved {
  readonly tokens: ReadonlySet<number>;
  /** How they are spelled; cutting a text inside these keeps it text. */
  readonly pattern: RegExp;
}

const escaped = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, String.raw`\$&`);

function findReserved(vocabulary: NativeVocabulary): Reserved {
  const tags = guardedTags.flatMap((tag) => {
    const tokens = vocabulary.tokenize(tag, { special: true, spacePrefix: false });
    return tokens.length === 1 ? tokens : [];
  });
  const tokens = [...vocabulary.controlTokens(), ...vocabulary.endOfGeneration, ...tags];
  const spellings = tokens
    .map((token) => vocabulary.spelling(token))
    .filter((spelling) => spelling !== '')
    // Of two that begin alike the longer is found.
    .toSorted((a, b) => b.length - a.length);
  return {
    tokens: new Set(tokens),
    pattern: new RegExp([...new Set(spellings)].map(escaped).join('|') || '(?!)', 'g'),
  };
}

const known = new WeakMap<NativeVocabulary, Reserved>();

function reservedOf(vocabulary: NativeVocabulary): Reserved {
  let reserved = known.get(vocabulary);
  if (!reserved) known.set(vocabulary, (reserved = findReserved(vocabulary)));
  return reserved;
}

/** `text` cut behind the first letter of every place where a reserved token is spelled out. */
function cutAtSpellings({ pattern }: Reserved, text: string): string[] {
  const parts: string[] = [];
  let start = 0;
  pattern.lastIndex = 0;
  for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
    pattern.lastIndex = match.index + 1;
    parts.push(text.slice(start, match.index + 1));
    start = match.index + 1;
  }
  return [...parts, text.slice(start)];
}

/**
 * Cuts that are tried one after the other. Each reads the rest of the text anew: a thousand would block the
 * engine for seconds, so the rest of such a text is cut everywhere at once.
 */
const maxCuts = 8;

/**
 * Ids of `text`, none of them reserved. Special tokens are off, but a SentencePiece vocabulary can still
 * merge its way to one ("</" + "s>"), and tags that are no control tokens are found all the same: such
 * text is cut behind the first letter and tokenised in two. `spacePrefix`: SentencePiece's space comes
 * before the text.
 */
export function contentTokens(
  vocabulary: NativeVocabulary,
  text: string,
  spacePrefix: boolean,
  cuts = 0,
): number[] {
  const reserved = reservedOf(vocabulary);
  const tokens = vocabulary.tokenize(text, { special: false, spacePrefix });
  const isReserved = (token: number): boolean => reserved.tokens.has(token);
  if (!tokens.some(isReserved)) return tokens;
  const place = text.search(reserved.pattern);
  if (place >= 0 && cuts >= maxCuts)
    return cutAtSpellings(reserved, text).flatMap((part, i) =>
      contentTokens(vocabulary, part, spacePrefix && i === 0),
    );
  const cut = place < 0 ? Math.max(1, text.length >> 1) : place + 1;
  if (cut >= text.length) return tokens.filter((token) => !isReserved(token));
  return [
    ...contentTokens(vocabulary, text.slice(0, cut), spacePrefix),
    ...contentTokens(vocabulary, text.slice(cut), false, cuts + 1),
  ];
}
