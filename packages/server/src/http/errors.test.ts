// Which answers a database that goes away gets: 503 with its code, not a defect of ours.
import fastify from 'fastify';
import { expect, test } from 'vitest';
import { registerErrorHandling } from './errors.ts';

const answerTo = async (error: Error) => {
  const app = fastify();
  registerErrorHandling(app, 1000);
  app.get('/', () => Promise.reject(error));
  const response = await app.inject('/');
  await app.close();
  return { status: response.statusCode, code: response.json().error.code };
};

test.each([
  // As the pg driver words them, which gives these no code.
  new Error('timeout exceeded when trying to connect'),
  new Error('Connection terminated unexpectedly'),
  new Error('Connection terminated due to connection timeout'),
  new Error('Connection terminated'),
  new Error('Client has encountered a connection error and is not queryable'),
  Object.assign(new Error('terminating connection'), { code: '57P01' }),
  Object.assign(new Error('connection failure'), { code: '08006' }),
  Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED', syscall: 'connect' }),
])('$message is a database that cannot be reached', async (error) => {
  expect(await answerTo(error)).toEqual({ status: 503, code: 'database_unreachable' });
});

test('of two requests that make the same name at once, one is told of the other', async () => {
  const taken = Object.assign(new Error('duplicate key value'), { code: '23505' });
  expect(await answerTo(taken)).toEqual({ status: 409, code: 'conflict' });
});

test('what nobody foresaw stays a defect', async () => {
  const answer = await answerTo(new Error('a connection in a sentence'));
  expect(answer).toEqual({ status: 500, code: 'internal_error' });
});
