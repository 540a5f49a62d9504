// The policy pack, `policy-pack/1`: what one signed, versioned, dated file may say. Shape only; what
// cannot work (a bad pattern, an unknown detector) is found by compile-policy.ts. Unknown fields are
// errors: a misspelt rule that silently does nothing would be a false promise.
import { z } from 'zod';
import { directions } from './decision.ts';
import { PolicyError } from './policy-error.ts';

// Limits: a pack comes from outside, and everything in it costs memory or time on every request.
const maxRules = 2_000;
const maxDetectors = 500;
const maxCategories = 1_000;
const maxInlineTerms = 100_000;
/** Longest text one detector may span, in normalised characters: it bounds the hold-back. */
const maxDetectorChars = 8_192;

const text = z.string().min(1).max(4_096);
const shortText = z.string().min(1).max(256);
const url = z.url().max(2_048);
const day = z.iso.date();
const sha256 = z.string().regex(/^(sha256:)?[0-9a-f]{64}$/, 'must be a SHA-256 in hex');
const localized = z.record(z.string().regex(/^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$/), text);
const ratio = z.number().min(0).max(1);

const normalisations = ['none', 'nfkc-strip', 'nfkc-casefold-strip'] as const;
export type Normalisation = (typeof normalisations)[number];
const boundaries = ['word', 'substring', 'cjk'] as const;
export type Boundary = (typeof boundaries)[number];
const validators = ['luhn', 'iban', 'hidden-tags', 'random-token'] as const;
export type ValidatorName = (typeof validators)[number];

const detectorId = z.string().regex(/^d\.[a-z][a-z0-9_]{0,62}$/, 'must look like d.name');
const maxChars = z.int().min(1).max(maxDetectorChars);

const lexiconSchema = z.strictObject({
  id: detectorId,
  type: z.literal('lexicon'),
  source: z.union([
    z.strictObject({ terms: z.array(shortText).min(1).max(maxInlineTerms) }),
    z.strictObject({
      sha256,
      entries: z.int().min(1).max(1_000_000),
      visibility: z.enum(['public', 'committed']),
    }),
  ]),
  match: z
    .strictObject({
      normalise: z.enum(normalisations).default('nfkc-casefold-strip'),
      boundary: z.enum(boundaries).default('word'),
      maxChars: z.int().min(1).max(256).default(64),
    })
    .prefault({}),
  updated: day.optional(),
  maxAgeDays: z.int().min(1).max(3_650).optional(),
});

const regexSchema = z.strictObject({
  id: detectorId,
  type: z.literal('regex-re2'),
  pattern: z.string().min(1).max(8_192),
  maxChars,
  normalise: z.enum(normalisations).default('nfkc-strip'),
  /** A check no regular expression can make; the longest match that passes counts. */
  validate: z.enum(validators).optional(),
});

const classifierSchema = z.strictObject({
  id: detectorId,
  type: z.literal('classifier'),
  model: z.strictObject({ name: shortText, sha256 }),
  labels: z.array(shortText).min(1).max(256),
  threshold: ratio,
  languages: z.array(shortText).max(256).default(['*']),
  window: z.strictObject({
    first: z.int().min(1).max(4_096),
    max: z.int().min(1).max(4_096),
    context: z.int().min(0).max(4_096),
  }),
  timeoutMs: z.int().min(1).max(60_000),
  calibration: z
    .strictObject({ set: shortText, fpr: ratio, recall: ratio, n: z.int().min(1) })
    .optional(),
});

const webhookSchema = z.strictObject({
  id: detectorId,
  type: z.literal('webhook'),
  url,
  timeoutMs: z.int().min(1).max(60_000),
});

const detectorSchema = z.discriminatedUnion('type', [
  lexiconSchema,
  regexSchema,
  classifierSchema,
  webhookSchema,
]);
export type Detector = z.infer<typeof detectorSchema>;
export type LexiconDetector = z.infer<typeof lexiconSchema>;
export type RegexDetector = z.infer<typeof regexSchema>;

const ruleSchema = z.strictObject({
  id: z.string().regex(/^[A-Za-z0-9._-]{1,64}$/),
  category: shortText,
  priority: z.int().min(0).max(1_000_000).default(100),
  direction: z.union([z.enum(directions), z.array(z.enum(directions)).min(1)]),
  /** CEL over `d.<name>.matched|count`, `match.length`, `direction`, `role`, `lang`, `audience`. */
  when: z.string().min(1).max(2_048),
  action: z.enum([
    'allow',
    'annotate',
    'redact',
    'refuse',
    'stop',
    'redirect',
    'review',
    'throttle',
  ]),
  onError: z.enum(['closed', 'open']).default('closed'),
  explain: z.strictObject({
    code: z.string().regex(/^[A-Z0-9][A-Z0-9-]{1,31}$/, 'must look like POL-017'),
    text: localized.default({}),
    detail: z.enum(['category', 'span', 'none']).default('category'),
  }),
  appeal: z
    .strictObject({ url, slaDays: z.int().min(0).max(3_650).optional() })
    .nullable()
    .default(null),
  tests: z.array(shortText).max(1_000).default([]),
});
export type PackRule = z.infer<typeof ruleSchema>;

const rangeOfDays = z.strictObject({
  min: z.int().min(0).max(36_500).nullable(),
  max: z.int().min(0).max(36_500).nullable(),
});

const packFields = z.strictObject({
  schema: z.literal('policy-pack/1'),
  id: z.string().regex(/^[a-z0-9]+([.-][a-z0-9-]+)*$/, 'must look like org.example.name'),
  version: z.string().regex(/^\d{1,6}\.\d{1,6}\.\d{1,6}$/, 'must be MAJOR.MINOR.PATCH'),
  title: localized,
  publisher: z.strictObject({
    name: text,
    contact: text.optional(),
    keyId: shortText.optional(),
  }),
  jurisdiction: z.array(shortText).max(64).default([]),
  basis: z
    .array(
      z.strictObject({
        type: z.enum(['law', 'standard', 'contract', 'operator-choice']),
        ref: text.optional(),
        url: url.optional(),
      }),
    )
    .min(1, 'a pack names its legal basis or says operator-choice'),
  effective: z.strictObject({
    from: day,
    until: day.nullable().default(null),
    reviewBy: day.nullable().default(null),
  }),
  extends: z
    .array(z.string().regex(/^[a-z0-9.-]+@\^?\d+(\.\d+){0,2}$/, 'must look like base.security@^1'))
    .max(16)
    .default([]),
  combine: z
    .enum(['deny-overrides', 'first-applicable', 'most-specific'])
    .default('deny-overrides'),
  scope: z
    .strictObject({
      tenants: z.array(shortText).max(10_000).default([]),
      deployments: z.array(shortText).max(10_000).default([]),
      directions: z.array(z.enum(directions)).default([...directions]),
      languages: z.array(shortText).max(256).default(['*']),
      audience: z.enum(['public', 'internal', 'minors']).default('public'),
    })
    .prefault({}),
  taxonomies: z
    .array(z.strictObject({ id: shortText }))
    .max(64)
    .default([]),
  categories: z
    .array(
      z.strictObject({
        id: shortText,
        maps: z.array(shortText).max(64).default([]),
        title: localized.default({}),
      }),
    )
    .max(maxCategories),
  detectors: z.array(detectorSchema).max(maxDetectors),
  rules: z.array(ruleSchema).max(maxRules),
  disclosure: z
    .strictObject({
      aiNotice: localized.optional(),
      placement: z.enum(['start', 'end', 'interface']).optional(),
      metadata: z.enum(['gb45438', 'c2pa', 'both', 'none']).default('none'),
      watermark: z
        .strictObject({ scheme: shortText, minTokens: z.int().min(1) })
        .nullable()
        .default(null),
    })
    .optional(),
  records: z
    .strictObject({
      content: z.enum(['none', 'hash', 'encrypted']).default('none'),
      retentionDays: rangeOfDays.optional(),
      eraseByKey: z.boolean().default(true),
    })
    .optional(),
  users: z
    .strictObject({
      strikes: z
        .strictObject({ limit: z.int().min(1), windowHours: z.int().min(1).max(24) })
        .nullable()
        .default(null),
      trainingOptOut: z.boolean().default(true),
      complaints: z
        .strictObject({ url, slaDays: z.int().min(0).max(3_650) })
        .nullable()
        .default(null),
    })
    .optional(),
  assurance: z
    .strictObject({
      banks: z
        .array(
          z.strictObject({
            id: shortText,
            sha256,
            n: z.int().min(1),
            gate: z.string().regex(/^(>=|<=|>|<)\s*(0(\.\d+)?|1(\.0+)?)$/),
            sample: z.int().min(1).optional(),
          }),
        )
        .max(256)
        .default([]),
      lastRun: z
        .strictObject({ logIndex: z.int().min(0) })
        .nullable()
        .default(null),
    })
    .optional(),
  /** Base64 Ed25519 signature over the DSSE pre-authentication encoding; see pack-signature.ts. */
  signature: z.strictObject({ dsse: z.string().max(8_192) }).optional(),
});

/** Ids are how rules, decisions and reports refer to things: each only once. */
const policyPackSchema = packFields.superRefine((pack, context) => {
  for (const list of ['categories', 'detectors', 'rules'] as const) {
    const seen = new Set<string>();
    for (const [index, { id }] of pack[list].entries()) {
      const path = [list, index, 'id'];
      if (seen.has(id)) context.addIssue({ code: 'custom', path, message: `"${id}" stands twice` });
      seen.add(id);
    }
  }
});

/** A pack as written: defaults may be left out. */
export type PolicyPackInput = z.input<typeof policyPackSchema>;
/** A pack with every default filled in. */
export type PolicyPack = z.output<typeof policyPackSchema>;

const pathText = (path: readonly PropertyKey[]): string =>
  path
    .map((step, at) =>
      typeof step === 'number' ? `[${step}]` : `${at === 0 ? '' : '.'}${String(step)}`,
    )
    .join('') || '(pack)';

/** Checks the shape of a pack. Throws PolicyError `pack_invalid` with every fault by path. */
export function parsePack(value: unknown): PolicyPack {
  const result = policyPackSchema.safeParse(value);
  if (result.success) return result.data;
  const issues = result.error.issues.map(({ path, message }) => ({
    path: pathText(path),
    message,
  }));
  throw new PolicyError('pack_invalid', 'The policy pack is not valid:', issues);
}
