// Writes the tiny model of the native tests to a file, for the scripts that compute expected values with
// other libraries: node tools/make-tiny-model.ts FILE
import { writeTinyModel } from '../tests/native/engine-fixtures.ts';

const [path] = process.argv.slice(2);
if (path === undefined) throw new Error('say where to write it');
await writeTinyModel(path);
