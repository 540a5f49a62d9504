// Examples in memory, for tests that need a store and no files.
import type { ExampleStore } from './data-set.ts';
import type { EncodedExample } from './encode.ts';

export class MemoryExamples implements ExampleStore {
  private readonly examples: { example: EncodedExample; row: number }[] = [];

  get count(): number {
    return this.examples.length;
  }

  get inputTokens(): number {
    return this.examples.reduce((sum, { example }) => sum + example.tokens.length - 1, 0);
  }

  add(example: EncodedExample, row: number): void {
    this.examples.push({ example, row });
  }

  get(index: number): EncodedExample {
    const found = this.examples[index];
    if (!found) throw new RangeError(`there is no example ${index}`);
    return found.example;
  }

  rowOf(index: number): number {
    return this.examples[index]?.row ?? 0;
  }

  rows(): number[] {
    return this.examples.map(({ row }) => row);
  }
}
