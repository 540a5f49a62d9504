// Takes a known prefix off text that arrives in pieces; text that does not begin with it passes whole.

export interface PrefixFilter {
  push(text: string): string;
}

export function createPrefixFilter(prefix: string): PrefixFilter {
  let left = prefix;
  let held = '';
  return {
    push: (text) => {
      if (left === '') return text;
      const all = held + text;
      if (all.length < left.length && left.startsWith(all)) {
        held = all;
        return '';
      }
      const rest = all.startsWith(left) ? all.slice(left.length) : all;
      left = '';
      return rest;
    },
  };
}
