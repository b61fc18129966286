// A drop: many more users than coupons, each once, as fast as they get through.
//
//   k6 run scripts/k6/drop.js                     1,000 coupons, 100,000 users, 256 at once
//   k6 run -e COUPONS=100 -e USERS=5000 -e AT_ONCE=64 scripts/k6/drop.js
//
// It fails unless exactly COUPONS users were accepted and every other answer was a replay or sold_out. That every promise
// became a row it cannot see: bin/load looks.
import http from 'k6/http';
import { check } from 'k6';
import exec from 'k6/execution';
import { Counter, Trend } from 'k6/metrics';
import { kind, open, request } from './coupon.js';

const coupons = Number(__ENV.COUPONS || 1000);
const users = Number(__ENV.USERS || 100000);

const accepted = new Counter('accepted');
const soldOut = new Counter('sold_out');
const acceptedMs = new Trend('accepted_ms', true);

export const options = {
  scenarios: { drop: { executor: 'shared-iterations', vus: Number(__ENV.AT_ONCE || 256), iterations: users, maxDuration: '10m' } },
  thresholds: {
    checks: ['rate==1'],
    accepted: [`count==${Math.min(coupons, users)}`],
    sold_out: [`count==${Math.max(users - coupons, 0)}`],
  },
  summaryTrendStats: ['med', 'p(99)', 'max'],
};

export function setup() {
  return open(coupons);
}

export default function (campaign) {
  const user = `k6-${exec.scenario.iterationInTest}`;
  const { method, url, params } = request(campaign, user);
  const answer = http.request(method, url, null, params);
  const said = kind(answer, campaign, user);
  check(said, { 'accepted, replayed or sold_out': (k) => k !== 'wrong' }) || console.error(`${answer.status} ${answer.body}`);
  if (said === 'accepted') {
    accepted.add(1);
    acceptedMs.add(answer.timings.duration);
  }
  if (said === 'sold_out') soldOut.add(1);
}
