// Pushed values as an async iterable for one reader. Unbounded on purpose: a generation's events are
// bounded by its max_tokens, and the engine must not wait for a slow client.
interface Waiter<T> {
  resolve(result: IteratorResult<T, undefined>): void;
  reject(error: Error): void;
}

export class EventQueue<T> implements AsyncIterableIterator<T, undefined> {
  #values: T[] = [];
  #waiter: Waiter<T> | null = null;
  #end: { error: Error } | 'ended' | null = null;

  push(value: T): void {
    if (this.#end !== null) return;
    const waiter = this.#takeWaiter();
    if (waiter) waiter.resolve({ value, done: false });
    else this.#values.push(value);
  }

  /** What was pushed is still read; then the iteration ends. */
  end(): void {
    if (this.#end !== null) return;
    this.#end = 'ended';
    this.#takeWaiter()?.resolve({ value: undefined, done: true });
  }

  /** What was pushed is still read; then the iteration throws. */
  fail(error: Error): void {
    if (this.#end !== null) return;
    this.#end = { error };
    this.#takeWaiter()?.reject(error);
  }

  next(): Promise<IteratorResult<T, undefined>> {
    const value = this.#values.shift();
    if (value !== undefined) return Promise.resolve({ value, done: false });
    if (this.#end === 'ended') return Promise.resolve({ value: undefined, done: true });
    if (this.#end !== null) return Promise.reject(this.#end.error);
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject };
    });
  }

  return(): Promise<IteratorResult<T, undefined>> {
    this.#values = [];
    this.end();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #takeWaiter(): Waiter<T> | null {
    const waiter = this.#waiter;
    this.#waiter = null;
    return waiter;
  }
}
