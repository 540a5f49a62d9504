// The pack that is in force when an operator has chosen none: security, no opinions. It hides secrets in
// output and otherwise only annotates. Patterns are RE2 and describe formats, never persons or views.
import type { Direction } from '../decision.ts';
import { type PolicyPackInput, parsePack } from '../pack-schema.ts';

/** PEM private keys: header, body, footer; without a footer, from header to where a key can no longer go on. */
const privateKey =
  String.raw`-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----` +
  String.raw`(?:(?:[A-Za-z0-9+/=\s:,.()\\]|-[A-Za-z0-9])*-----END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----` +
  String.raw`|[\s\\nr]*[A-Za-z0-9+/=]{32,}[A-Za-z0-9+/=\s\\]*)`;

/** Access keys of clouds and forges, each by the prefix its issuer documents. */
const cloudToken = String.raw`\b(?:${[
  '(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}',
  'LTAI[0-9A-Za-z]{12,26}',
  'AIza[0-9A-Za-z_-]{35}',
  'ya29\\.[0-9A-Za-z_-]{20,256}',
  'gh[pousr]_[0-9A-Za-z]{36,255}',
  'github_pat_[0-9A-Za-z_]{22,255}',
  'glpat-[0-9A-Za-z_-]{20,64}',
  'xox[abeoprs]-[0-9A-Za-z-]{10,255}',
  'hf_[0-9A-Za-z]{30,64}',
  'npm_[0-9A-Za-z]{36}',
  'pypi-[0-9A-Za-z_-]{50,255}',
  '[rs]k_(?:live|test)_[0-9A-Za-z]{16,128}',
].join('|')})`;

const apiKey = String.raw`\bsk-[A-Za-z0-9_-]{20,256}`;
const jsonWebToken = String.raw`\beyJ[A-Za-z0-9_-]{6,}\.eyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{6,}`;
const paymentCard = String.raw`\b[0-9](?:[ -]?[0-9]){12,18}\b`;
const iban = String.raw`\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}\b`;
const email = String.raw`\b[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,24}\b`;
const phone = String.raw`(?:\+|\b00)[1-9][0-9]{0,2}(?:[ ().-]{0,2}[0-9]){6,13}\b|\b[2-9][0-9]{2}[ .-][2-9][0-9]{2}[ .-][0-9]{4}\b`;

/** What chat templates use to separate speakers; from a user it is an imitation. */
const controlToken = String.raw`<\|[A-Za-z_▁][A-Za-z0-9_▁]{0,40}\|>|\[/?INST\]|<</?SYS>>|</?s>|<(?:start|end)_of_turn>`;
/** English phrases only: a marker to look at, not a defence. */
const injection =
  String.raw`\b(?:ignore|disregard|forget|override)\s+(?:all\s+|any\s+)?(?:of\s+)?(?:the\s+|your\s+|my\s+)?(?:previous|prior|above|earlier|preceding|system)\s+(?:instructions?|prompts?|rules?|messages?|directions?|guidelines?)\b` +
  String.raw`|\b(?:reveal|print|show|repeat|output)\s+(?:me\s+)?(?:your|the)\s+(?:system|hidden|initial)\s+prompt\b` +
  String.raw`|\byou\s+are\s+now\s+in\s+(?:developer|dan|jailbreak|unrestricted)\s+mode\b`;
const hiddenTags = String.raw`\x{1F3F4}?[\x{E0000}-\x{E007F}]+`;
const invisible =
  String.raw`[\x{200B}-\x{200D}\x{2060}-\x{2064}\x{FEFF}\x{AD}\x{180E}]{4,}` +
  String.raw`|[\x{202A}-\x{202E}\x{2066}-\x{2069}]+` +
  String.raw`|[\x{FE00}-\x{FE0F}\x{E0100}-\x{E01EF}]{2,}`;

type DetectorInput = PolicyPackInput['detectors'][number];
type RuleInput = PolicyPackInput['rules'][number];

interface Entry {
  readonly name: string;
  readonly code: string;
  readonly category: string;
  readonly pattern: string;
  readonly maxChars: number;
  readonly action: 'annotate' | 'redact';
  readonly directions: readonly Direction[];
  readonly explanation: string;
  readonly normalise?: 'none' | 'nfkc-casefold-strip';
  readonly validate?: 'luhn' | 'iban' | 'hidden-tags' | 'random-token';
}

const secret = { category: 'security.secret', action: 'redact', directions: ['output'] } as const;
const personal = {
  category: 'privacy.identifier',
  action: 'annotate',
  directions: ['input', 'output'],
} as const;
const smuggling = {
  category: 'security.smuggling',
  action: 'annotate',
  directions: ['input', 'tool', 'retrieval'],
} as const;

const entries: readonly Entry[] = [
  {
    ...secret,
    name: 'private_key',
    code: 'POL-S01',
    pattern: privateKey,
    maxChars: 8_192,
    explanation: 'A private key was hidden.',
  },
  {
    ...secret,
    name: 'cloud_token',
    code: 'POL-S02',
    pattern: cloudToken,
    maxChars: 300,
    explanation: 'An access token of a cloud service was hidden.',
  },
  {
    ...secret,
    name: 'api_key',
    code: 'POL-S03',
    pattern: apiKey,
    maxChars: 300,
    validate: 'random-token',
    explanation: 'An API key was hidden.',
  },
  {
    ...secret,
    name: 'json_web_token',
    code: 'POL-S04',
    pattern: jsonWebToken,
    maxChars: 8_192,
    explanation: 'A signed token (JWT) was hidden.',
  },
  {
    ...personal,
    name: 'payment_card',
    code: 'POL-P01',
    pattern: paymentCard,
    maxChars: 40,
    validate: 'luhn',
    explanation: 'The text holds what looks like a payment card number.',
  },
  {
    ...personal,
    name: 'iban',
    code: 'POL-P02',
    pattern: iban,
    maxChars: 48,
    validate: 'iban',
    explanation: 'The text holds what looks like a bank account number (IBAN).',
  },
  {
    ...personal,
    name: 'email',
    code: 'POL-P03',
    pattern: email,
    maxChars: 254,
    explanation: 'The text holds an e-mail address.',
  },
  {
    ...personal,
    name: 'phone',
    code: 'POL-P04',
    pattern: phone,
    maxChars: 40,
    explanation: 'The text holds what looks like a phone number.',
  },
  {
    ...smuggling,
    name: 'control_token',
    code: 'POL-I01',
    pattern: controlToken,
    maxChars: 48,
    explanation: 'The text imitates a control token of a chat template.',
  },
  {
    ...smuggling,
    name: 'hidden_tags',
    code: 'POL-I02',
    pattern: hiddenTags,
    maxChars: 1_024,
    normalise: 'none',
    validate: 'hidden-tags',
    explanation: 'The text holds invisible tag characters, which can carry hidden instructions.',
  },
  {
    ...smuggling,
    name: 'invisible',
    code: 'POL-I03',
    pattern: invisible,
    maxChars: 256,
    normalise: 'none',
    explanation: 'The text holds invisible or direction-changing characters.',
  },
  {
    ...smuggling,
    category: 'security.prompt-injection',
    name: 'injection',
    code: 'POL-I04',
    pattern: injection,
    maxChars: 160,
    normalise: 'nfkc-casefold-strip',
    explanation: 'The text holds a phrase that is common in prompt injection.',
  },
];

const detectorOf = ({ name, pattern, maxChars, normalise, validate }: Entry): DetectorInput => ({
  id: `d.${name}`,
  type: 'regex-re2',
  pattern,
  maxChars,
  ...(normalise === undefined ? {} : { normalise }),
  ...(validate === undefined ? {} : { validate }),
});

const ruleOf = ({ name, code, category, action, directions, explanation }: Entry): RuleInput => ({
  id: `r.${name}`,
  category,
  direction: [...directions],
  when: `d.${name}.matched`,
  action,
  explain: { code, text: { en: explanation }, detail: 'span' },
});

/** `base.security`: annotate, and hide secrets in output. */
export const defaultPack = parsePack({
  schema: 'policy-pack/1',
  id: 'base.security',
  version: '1.0.0',
  title: { en: 'Security baseline: observe, and hide secrets in output' },
  publisher: { name: 'Corral' },
  basis: [{ type: 'operator-choice', ref: 'Shipped default; replace it with a pack of your own.' }],
  effective: { from: '2026-11-01' },
  categories: [
    { id: 'security.secret', title: { en: 'Secrets' } },
    { id: 'security.smuggling', title: { en: 'Hidden or imitated control text' } },
    { id: 'security.prompt-injection', title: { en: 'Prompt injection' } },
    { id: 'privacy.identifier', title: { en: 'Personal identifiers' } },
  ],
  detectors: entries.map((entry) => detectorOf(entry)),
  rules: entries.map((entry) => ruleOf(entry)),
} satisfies PolicyPackInput);
