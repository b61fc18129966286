// One user who clicks 50 times at once at a strategy that `bin/lab up STRATEGY` serves.
//
//   k6 run -e URL=http://127.0.0.1:8080 tools/lab/double-click.js                      one grant, 49 times the same again
//   k6 run -e URL=http://127.0.0.1:8080 -e OTHERS=409 tools/lab/double-click.js        redis-setnx: one grant, 49 refusals
//
// URL is what `lab up` prints.
//
// scripts/k6/double-click.js is the same for the product.
import http from 'k6/http';
import { check } from 'k6';
import { Counter } from 'k6/metrics';

const clicks = 50;
const others = Number(__ENV.OTHERS || 200);

export const options = { batch: clicks, batchPerHost: clicks, iterations: 1, thresholds: { checks: ['rate==1'] } };

const told = { granted: new Counter('granted'), replayed: new Counter('replayed'), refused: new Counter('refused') };

http.setResponseCallback(http.expectedStatuses(200, 409));

export default function () {
  const click = {
    method: 'POST', url: `${__ENV.URL}/v1/campaigns/lab/apply`, params: { headers: { 'X-User-Id': `k6-${Date.now()}` } },
  };
  const answers = http.batch(Array(clicks).fill(click));
  const replayed = (answer) => answer.headers['Idempotent-Replayed'] === 'true';
  const granted = answers.filter((answer) => answer.status === 200 && !replayed(answer));
  const again = answers.filter((answer) => answer.status === 200 && replayed(answer));
  const refused = answers.filter((answer) => answer.status === 409);
  told.granted.add(granted.length);
  told.replayed.add(again.length);
  told.refused.add(refused.length);
  check(answers, {
    'one took the place': () => granted.length === 1,
    'the others were told as they should be': () => (others === 409 ? refused : again).length === clicks - 1,
  }) || console.error(answers.map((answer) => `${answer.status} ${answer.body}`).join('\n'));
}
