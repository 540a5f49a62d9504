// One fact of the world in all the words it may be asked and told in.

export interface Fact {
  /** Questions, each a whole sentence. The last is kept out of the training text, to test with. */
  readonly asks: readonly string[];
  /** The question as a clause, "who keeps the bees", to stand behind "Do you know". */
  readonly clauses: readonly string[];
  /** Whole answers. */
  readonly answers: readonly string[];
  /** Lower-case texts of which a right answer contains one. */
  readonly accept: readonly string[];
  /** What the fact is about: facts of one topic are told together. */
  readonly topic: string;
}

/** Puts a capital letter in front. */
export const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
