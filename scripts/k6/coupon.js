// What the scripts share: they open a campaign as an operator, apply as a user, and say what an answer is. The servers must
// run with AUTH_MODE=dev. URL and ADMIN are the two listeners of one of them.
import http from 'k6/http';
import { sleep } from 'k6';

const url = __ENV.URL || 'http://127.0.0.1:8080';
const admin = __ENV.ADMIN || 'http://127.0.0.1:8081';

// Refusals are answers, too; without this k6 would count them as failed requests.
http.setResponseCallback(http.expectedStatuses(200, 201, 202, 409));

// open makes a campaign of so many coupons and returns its id once the server takes applies for it.
export function open(limit) {
  const id = `k6-${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 8)}`;
  const hour = 3600 * 1000;
  const made = http.post(
    `${admin}/admin/v1/campaigns`,
    JSON.stringify({
      id, name: 'k6', limit, status: 'active',
      starts_at: new Date(Date.now() - hour).toISOString(), ends_at: new Date(Date.now() + hour).toISOString(),
    }),
    { headers: { 'Content-Type': 'application/json' } },
  );
  if (made.status !== 201) throw new Error(`the campaign was not made: ${made.status} ${made.body}`);
  for (let tries = 0; tries < 100; tries++) {
    if (http.get(`${url}/v1/campaigns/${id}`).json('availability') === 'open') return id;
    sleep(0.1);
  }
  throw new Error(`campaign ${id} does not open`);
}

// request is an apply of a user, for http.request and http.batch.
export function request(campaign, user) {
  return { method: 'POST', url: `${url}/v1/campaigns/${campaign}/apply`, params: { headers: { 'X-User-Id': user }, tags: { name: 'apply' } } };
}

// kind is what an answer tells the user; "wrong" is anything that a drop with all stores up may not say.
export function kind(answer, campaign, user) {
  const body = answer.status === 0 ? {} : answer.json();
  const replayed = answer.headers['Idempotent-Replayed'] === 'true';
  if (answer.status === 409 && body.code === 'sold_out') return 'sold_out';
  const promise = ['accepted', 'issued'].includes(body.status) && body.serial > 0 &&
    body.campaign_id === campaign && body.user_id === user && answer.headers.Location !== undefined;
  if (promise && answer.status === 202 && !replayed) return 'accepted';
  if (promise && answer.status === 200 && replayed) return 'replayed';
  return 'wrong';
}
