// One user who clicks 50 times at once: one apply takes the place, the others are told the same again.
//
//   k6 run scripts/k6/double-click.js
import http from 'k6/http';
import { check } from 'k6';
import { kind, open, request } from './coupon.js';

const clicks = 50;

export const options = { batch: clicks, batchPerHost: clicks, iterations: 1, thresholds: { checks: ['rate==1'] } };

export function setup() {
  return open(10);
}

export default function (campaign) {
  const user = 'k6-impatient';
  const answers = http.batch(Array.from({ length: clicks }, () => request(campaign, user)));
  const count = (wanted) => answers.filter((answer) => kind(answer, campaign, user) === wanted).length;
  const serials = new Set(answers.map((answer) => answer.json('serial')));
  check(answers, {
    'one took the place': () => count('accepted') === 1,
    'the others were told so again': () => count('replayed') === clicks - 1,
    'all name one serial': () => serials.size === 1,
  }) || console.error(answers.map((answer) => `${answer.status} ${kind(answer, campaign, user)}`).join(', '));
}
