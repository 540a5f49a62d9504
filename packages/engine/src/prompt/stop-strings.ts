// Finds stop strings in text that arrives in pieces, holding back as little as it can. The match that
// ends first wins (of those the longest), so any cutting of the same text gives the same outcome.

export interface StopFilter {
  /** Text that may be shown now; `stopped` once a stop string was found (it is never shown). */
  push(text: string): { readonly text: string; readonly stopped: boolean };
  /** What was held back, when the text ends without a stop string. */
  flush(): string;
}

interface Match {
  readonly start: number;
  readonly end: number;
}

function firstMatch(text: string, stops: readonly string[]): Match | null {
  let best: Match | null = null;
  for (const stop of stops) {
    const start = text.indexOf(stop);
    if (start < 0) continue;
    const end = start + stop.length;
    if (!best || end < best.end || (end === best.end && start < best.start)) best = { start, end };
  }
  return best;
}

/** Length of the longest end of `text` that a stop string may begin with. */
function heldBack(text: string, stops: readonly string[]): number {
  const longest = Math.max(0, ...stops.map((stop) => stop.length - 1));
  for (let length = Math.min(longest, text.length); length > 0; length--) {
    const end = text.slice(text.length - length);
    if (stops.some((stop) => stop.length > length && stop.startsWith(end))) return length;
  }
  return 0;
}

const isHighSurrogate = (code: number): boolean => code >= 0xd800 && code <= 0xdbff;

/** `stops`: none is empty. With none, all text passes at once. */
export function createStopFilter(stops: readonly string[]): StopFilter {
  let held = '';
  let stopped = false;
  return {
    push: (text) => {
      if (stopped) return { text: '', stopped };
      const all = held + text;
      const match = firstMatch(all, stops);
      if (match) {
        stopped = true;
        held = '';
        return { text: all.slice(0, match.start), stopped };
      }
      let cut = all.length - heldBack(all, stops);
      // Never between the halves of a character outside the basic plane.
      if (cut > 0 && isHighSurrogate(all.charCodeAt(cut - 1))) cut--;
      held = all.slice(cut);
      return { text: all.slice(0, cut), stopped };
    },
    flush: () => {
      const rest = held;
      held = '';
      return rest;
    },
  };
}
