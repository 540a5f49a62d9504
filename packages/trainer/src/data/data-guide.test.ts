// docs/guides/data.md is true: every example in it is read as the format it stands under, without errors.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { dataFormats } from '@corral/contracts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkData } from './check-data.ts';
import { createChatTemplate } from './chat-template.ts';
import { inlineEncoder } from './row-encoder.ts';
import { byteLevelTokenizer } from './tokenizer.fake.ts';

const guide = readFileSync(new URL('../../../../docs/guides/data.md', import.meta.url), 'utf8');

/** ChatML that shows tools and calls. */
const template = `{% for t in tools or [] %}{{ t | tojson }}\n{% endfor %}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{% for c in m.tool_calls or [] %}{{ c.function | tojson }}{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}`;
const tokenizer = byteLevelTokenizer(template);
const encoder = inlineEncoder({
  tokenizer,
  template: createChatTemplate(template, tokenizer, 'guide'),
  lossOn: 'assistant',
  contextLength: 2048,
});

/** Blocks of files under the heading of each format. */
const examples = guide
  .split('\n### `')
  .slice(1)
  .flatMap((section) => {
    const format = section.slice(0, section.indexOf('`'));
    return [...section.matchAll(/^```(jsonl|json|csv|txt)\n([^]*?)^```/gm)].map(
      ([, ending = '', content = '']) => ({ format, ending, content }),
    );
  });

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'corral-guide-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

describe('the guide on data', () => {
  test('has an example of every format', () => {
    const shown = new Set(examples.map(({ format }) => format));
    expect([...shown].toSorted()).toEqual(
      dataFormats.filter((format) => format !== 'auto').toSorted(),
    );
  });

  test.each(examples)(
    '$format as .$ending is read as it says',
    async ({ format, ending, content }) => {
      const path = join(folder, `rows.${ending}`);
      writeFileSync(path, content);
      const report = await checkData(path, encoder);
      expect({ errors: report.errors, format: report.format }).toEqual({ errors: [], format });
      expect(report.examples).toBeGreaterThan(0);
    },
  );
});
