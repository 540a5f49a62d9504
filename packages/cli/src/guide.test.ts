// The written guide is the table of commands. After a change: npx vitest run packages/cli/src/guide -u
import { expect, it } from 'vitest';
import { commandTable } from './command-table.ts';
import { commandLineGuide } from './guide.ts';

it('is what docs/guides/command-line.md says', async () => {
  await expect(commandLineGuide(commandTable)).toMatchFileSnapshot(
    '../../../docs/guides/command-line.md',
  );
});
