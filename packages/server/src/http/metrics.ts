// Figures for Prometheus, in its text format 0.0.4: counters that features raise and gauges that are read
// when asked. Small on purpose; labels come from closed sets, never from callers' text.

type Labels = Readonly<Record<string, string>>;

interface Counter {
  add(value?: number, labels?: Labels): void;
}

export interface Metrics {
  /** A figure that only grows. The same name gives the same counter. */
  counter(name: string, help: string): Counter;
  /** A figure read at the time of the question. */
  gauge(name: string, help: string, read: () => number | Promise<number>): void;
  render(): Promise<string>;
}

interface Family {
  readonly kind: 'counter' | 'gauge';
  readonly help: string;
  readonly samples: () => Promise<readonly (readonly [labels: string, value: number])[]>;
}

export function createMetrics(): Metrics {
  const families = new Map<string, Family>();
  const counters = new Map<string, Counter>();

  const counter = (name: string, help: string): Counter => {
    const known = counters.get(name);
    if (known !== undefined) return known;
    const values = new Map<string, number>();
    const made: Counter = {
      add(value = 1, labels = {}) {
        const key = labelText(labels);
        values.set(key, (values.get(key) ?? 0) + value);
      },
    };
    counters.set(name, made);
    families.set(name, { kind: 'counter', help, samples: async () => [...values] });
    return made;
  };

  return {
    counter,
    gauge(name, help, read) {
      families.set(name, { kind: 'gauge', help, samples: async () => [['', await read()]] });
    },
    async render() {
      const lines: string[] = [];
      for (const [name, { kind, help, samples }] of families) {
        lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${kind}`);
        for (const [labels, value] of await samples()) lines.push(`${name}${labels} ${value}`);
      }
      return `${lines.join('\n')}\n`;
    },
  };
}

const labelText = (labels: Labels): string => {
  const parts = Object.entries(labels).map(([key, value]) => `${key}="${escape(value)}"`);
  return parts.length === 0 ? '' : `{${parts.join(',')}}`;
};
const escape = (value: string): string =>
  value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
