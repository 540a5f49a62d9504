// Minimum cut of a small directed graph by maximum flow (Edmonds & Karp 1972: shortest augmenting paths).
// Vertices are numbers; capacities may be Infinity, but every way from source to sink must have a finite
// edge. Graphs here have some hundred vertices, so the plain algorithm is fast enough.

export interface Edge {
  readonly from: number;
  readonly to: number;
  readonly capacity: number;
}

interface Arc {
  readonly to: number;
  left: number;
  /** The same edge in the other direction. */
  readonly back: () => Arc;
}

const buildArcs = (edges: readonly Edge[]): Map<number, Arc[]> => {
  const arcs = new Map<number, Arc[]>();
  const at = (vertex: number): Arc[] => {
    const list = arcs.get(vertex) ?? [];
    arcs.set(vertex, list);
    return list;
  };
  for (const { from, to, capacity } of edges) {
    const forward: Arc = { to, left: capacity, back: () => backward };
    const backward: Arc = { to: from, left: 0, back: () => forward };
    at(from).push(forward);
    at(to).push(backward);
  }
  return arcs;
};

/** The arc by which each vertex was first reached from `start` over arcs with room left. */
const reach = (arcs: Map<number, Arc[]>, start: number): Map<number, Arc | null> => {
  const reached = new Map<number, Arc | null>([[start, null]]);
  for (const vertex of reached.keys()) {
    for (const arc of arcs.get(vertex) ?? []) {
      if (arc.left > 0 && !reached.has(arc.to)) reached.set(arc.to, arc);
    }
  }
  return reached;
};

const pathTo = (sink: number, reached: Map<number, Arc | null>): Arc[] => {
  const path: Arc[] = [];
  for (let arc = reached.get(sink); arc; arc = reached.get(arc.back().to)) path.push(arc);
  return path;
};

/** The vertices on the source's side of a cheapest cut between `source` and `sink`. */
export const sourceSideOfMinCut = (
  edges: readonly Edge[],
  source: number,
  sink: number,
): ReadonlySet<number> => {
  const arcs = buildArcs(edges);
  for (;;) {
    const reached = reach(arcs, source);
    if (!reached.has(sink)) return new Set(reached.keys());
    const path = pathTo(sink, reached);
    const flow = Math.min(...path.map((arc) => arc.left));
    if (!Number.isFinite(flow)) throw new RangeError('no finite cut separates source and sink');
    for (const arc of path) {
      arc.left -= flow;
      arc.back().left += flow;
    }
  }
};
