// Whether a run can use a file, from the trainer's report on it. Pure.
import {
  CorralError,
  type DataReport,
  type DataRowError,
  type TrainingMethod,
} from '@corral/contracts';

/** Row errors told one by one; the rest are counted. */
const toldErrors = 20;

export interface DataProblem {
  readonly error: CorralError;
  /** Rows to tell one by one. */
  readonly rows: readonly DataRowError[];
}

/** Null when the file can be used; else what is wrong with it. `param` is the request's field. */
export function dataProblem(
  report: DataReport,
  method: TrainingMethod,
  param: string,
): DataProblem | null {
  const { error_count, examples, rows } = report;
  if (error_count > 0) {
    const told = report.errors.slice(0, toldErrors);
    const lines = told.map(({ row, reason, fix }) => `row ${row}: ${reason}. ${fix}`);
    if (error_count > told.length) lines.push(`and ${error_count - told.length} more rows`);
    const params = { error_count, rows, details: lines.join('\n') };
    return { error: new CorralError('data_invalid', { params, param }), rows: told };
  }
  if (examples === 0) {
    return { error: new CorralError('data_empty', { params: { path: param }, param }), rows: [] };
  }
  if (report.format === 'preference' && method !== 'dpo') {
    // The check shows pairs as what they are; the run would refuse every row.
    const details = `the file holds preference pairs, and method ${method} learns from conversations. Use method dpo, or give "messages"`;
    const params = { error_count: rows, rows, details };
    return { error: new CorralError('data_invalid', { params, param }), rows: [] };
  }
  return null;
}
