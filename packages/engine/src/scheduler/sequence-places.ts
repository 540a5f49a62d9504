// Where the keys and values of sequences lie: in the main context under their own number, or in a seat of a
// side context. To the scheduler and its pool that is one memory; sequences are carried from place to place as
// saved bytes. The main context has room for all, so a side context can be given up at any time. Knows no
// adapters and no steps.
import { CorralError } from '@corral/contracts';
import type { NativeContext } from '../llama-cpp/native-types.ts';
import type { DecodingContext } from './decode-group.ts';
import type { Slot } from './sequence-task.ts';

/** A context whose sequences are seats for sequences of the main one. */
export interface SideContext {
  readonly seats: number;
  /** Sequences that lie here. */
  readonly taken: number;
  /** The native context, for its adapter. */
  readonly native: NativeContext;
  /** To decode with: takes the sequences' own numbers. */
  readonly decoding: DecodingContext;
  /** The seat of a sequence; undefined when it lies elsewhere. */
  seatOf(sequence: number): number | undefined;
}

export interface SequencePlaces {
  /** The main context, with the memory of all places. */
  readonly context: NativeContext;
  /** The places own the context from now on. */
  add(native: NativeContext): SideContext;
  /** Closes a side context; what lay there lies in the main one. Throws as `gather`, and then it stays open. */
  remove(side: SideContext): void;
  /** What lay there lies in the main one. Throws as `gather`. */
  vacate(side: SideContext): void;
  /**
   * Brings sequences to a side context, null = to the main one; there must be seats enough. Throws CorralError
   * `engine_failed` when one could not be carried over; it lies where it lay.
   */
  gather(side: SideContext | null, slots: readonly Pick<Slot, 'sequence' | 'fed'>[]): void;
}

class Side implements SideContext {
  readonly native: NativeContext;
  readonly decoding: DecodingContext;
  readonly seats: number;
  readonly #seats = new Map<number, number>();

  constructor(native: NativeContext) {
    this.native = native;
    this.seats = native.sequences;
    const { batch } = native;
    this.decoding = {
      batch: {
        capacity: batch.capacity,
        get size() {
          return batch.size;
        },
        get outputs() {
          return batch.outputs;
        },
        clear: () => batch.clear(),
        add: (token, position, sequence, output) =>
          batch.add(token, position, this.seatOf(sequence) ?? -1, output),
      },
      decode: () => native.decode(),
      logits: (index) => native.logits(index),
    };
  }

  get taken(): number {
    return this.#seats.size;
  }

  get sequences(): readonly number[] {
    return [...this.#seats.keys()];
  }

  seatOf(sequence: number): number | undefined {
    return this.#seats.get(sequence);
  }

  /** The lowest empty seat: llama.cpp computes neighbours at once. */
  get empty(): number | undefined {
    const taken = new Set(this.#seats.values());
    for (let seat = 0; seat < this.seats; seat++) if (!taken.has(seat)) return seat;
    return undefined;
  }

  sit(sequence: number, seat: number): void {
    this.#seats.set(sequence, seat);
  }

  leave(sequence: number): void {
    this.#seats.delete(sequence);
  }
}

const noSeat = (): Error => new Error('there is no empty seat');

class Places implements SequencePlaces {
  readonly context: NativeContext;
  readonly #main: NativeContext;
  readonly #sides = new Set<Side>();
  /** Of sequences that do not lie in the main context. */
  readonly #sideOf = new Map<number, Side>();
  /** Of side contexts that are gone. */
  #decodeMs = 0;

  constructor(main: NativeContext) {
    this.#main = main;
    this.context = this.#createContext();
  }

  add(native: NativeContext): SideContext {
    const side = new Side(native);
    this.#sides.add(side);
    return side;
  }

  remove(side: SideContext): void {
    const known = this.#known(side);
    this.vacate(known);
    this.#sides.delete(known);
    this.#decodeMs += known.native.decodeMs;
    known.native.close();
  }

  vacate(side: SideContext): void {
    for (const sequence of this.#known(side).sequences) this.#carry(sequence, null);
  }

  gather(to: SideContext | null, slots: readonly Pick<Slot, 'sequence' | 'fed'>[]): void {
    const side = to && this.#known(to);
    const coming = slots.filter(({ sequence }) => (this.#sideOf.get(sequence) ?? null) !== side);
    if (side && coming.length > 0) {
      const wanted = new Set(slots.map(({ sequence }) => sequence));
      // Idle sequences, which keep prompts for later, make room.
      const idle = side.sequences.filter((sequence) => !wanted.has(sequence));
      const missing = coming.length - (side.seats - side.taken);
      for (const sequence of idle.slice(0, Math.max(0, missing))) this.#carry(sequence, null);
    }
    for (const { sequence, fed } of coming)
      if (fed > 0 || side === null) this.#carry(sequence, side);
      else this.#sit(sequence, side);
  }

  #known(side: SideContext): Side {
    if (side instanceof Side && this.#sides.has(side)) return side;
    throw new CorralError('closed', { params: { what: 'context' } });
  }

  #sit(sequence: number, side: Side): number {
    const seat = side.empty;
    if (seat === undefined) throw noSeat();
    side.sit(sequence, seat);
    this.#sideOf.set(sequence, side);
    return seat;
  }

  #stand(sequence: number): void {
    this.#sideOf.get(sequence)?.leave(sequence);
    this.#sideOf.delete(sequence);
  }

  /** The context that holds a sequence, and its number there. */
  #at(sequence: number): { readonly memory: NativeContext; readonly number: number } {
    const side = this.#sideOf.get(sequence);
    const seat = side?.seatOf(sequence);
    if (!side || seat === undefined) return { memory: this.#main, number: sequence };
    return { memory: side.native, number: seat };
  }

  /** It leaves where it lies only when it has arrived. */
  #carry(sequence: number, to: Side | null): void {
    const from = this.#at(sequence);
    const number = to ? to.empty : sequence;
    if (number === undefined) throw noSeat();
    if (!(to?.native ?? this.#main).restore(number, from.memory.save(from.number))) {
      const reason = 'keys and values could not be carried to another context';
      throw new CorralError('engine_failed', { params: { reason } });
    }
    from.memory.truncate(from.number, 0);
    this.#stand(sequence);
    if (to) this.#sit(sequence, to);
  }

  #truncate(sequence: number, position: number): void {
    const { memory, number } = this.#at(sequence);
    memory.truncate(number, position);
    if (position === 0) this.#stand(sequence);
  }

  #copy(from: number, to: number, length: number): boolean {
    const source = this.#at(from);
    const side = this.#sideOf.get(from);
    if (!side) return this.#main.copy(from, to, length);
    if (side.empty !== undefined) {
      if (side.native.copy(source.number, this.#sit(to, side), length)) return true;
      this.#stand(to);
      return false;
    }
    if (!this.#main.restore(to, source.memory.save(source.number))) return false;
    this.#main.truncate(to, length);
    return true;
  }

  #createContext(): NativeContext {
    const main = this.#main;
    const totalMs = (): number =>
      [...this.#sides].reduce((sum, { native }) => sum + native.decodeMs, this.#decodeMs);
    return {
      batch: main.batch,
      sequenceTokens: main.sequenceTokens,
      sequences: main.sequences,
      outputs: main.outputs,
      sharedTokens: main.sharedTokens,
      partial: main.partial,
      portable: main.portable,
      get decodeMs() {
        return main.decodeMs + totalMs();
      },
      get stackFailure() {
        return main.stackFailure;
      },
      decode: () => main.decode(),
      logits: (index) => main.logits(index),
      embedding: (index) => main.embedding(index),
      useAdapter: (adapter) => main.useAdapter(adapter),
      useStack: (stack, ranks) => main.useStack(stack, ranks),
      truncate: (sequence, position) => this.#truncate(sequence, position),
      copy: (from, to, length) => this.#copy(from, to, length),
      save: (sequence) => {
        const { memory, number } = this.#at(sequence);
        return memory.save(number);
      },
      restore: (sequence, state) => main.restore(sequence, state),
      close: () => {
        for (const { native } of this.#sides) native.close();
        main.close();
      },
    };
  }
}

export const createSequencePlaces = (main: NativeContext): SequencePlaces => new Places(main);
