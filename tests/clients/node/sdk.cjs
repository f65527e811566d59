// The life of a certificate by the official Node SDK. Prints one JSON object of what it saw.
const Cloudflare = require('cloudflare');

const { BASE_URL: baseURL, TOKEN: apiToken, ZONE: zone_id, CSR: csr } = process.env;
const options = { baseURL, maxRetries: Number(process.env.RETRIES) };
const client = new Cloudflare({ ...options, apiToken });
const certificates = client.clientCertificates;
const unknown = '00000000-0000-4000-8000-000000000000';

async function waitFor(id, status) {
  for (let attempt = 0; attempt < 3000; attempt++) {
    const certificate = await certificates.get(id, { zone_id });
    if (certificate.status === status) return certificate.status;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`${id} did not become ${status}`);
}

async function listed(parameters) {
  const ids = [];
  for await (const certificate of certificates.list({ zone_id, ...parameters })) ids.push(certificate.id);
  return ids;
}

async function failure(call) {
  try {
    await call();
    return null;
  } catch (error) {
    return { class: error.constructor.name, status: error.status, codes: error.errors.map(({ code }) => code) };
  }
}

async function main() {
  const made = [];
  for (let i = 0; i < 7; i++) made.push(await certificates.create({ zone_id, csr, validity_days: 30 }));
  const [{ id }] = made;
  const saw = {
    made: made.map((certificate) => certificate.id),
    created: made[0],
    read: await certificates.get(id, { zone_id }),
    paged: await listed({ per_page: 5 }),
    window: await listed({ limit: 3, offset: 2 }),
  };
  saw.life = [
    (await certificates.delete(id, { zone_id })).status,
    await waitFor(id, 'revoked'),
    (await certificates.edit(id, { zone_id })).status,
    await waitFor(id, 'active'),
    (await certificates.delete(id, { zone_id })).status,
    (await certificates.edit(id, { zone_id, reactivate: true })).status,
    await waitFor(id, 'active'),
  ];
  const stranger = new Cloudflare({ ...options, apiToken: 'x'.repeat(40) });
  const byKey = new Cloudflare({ ...options, apiEmail: 'user@example.com', apiKey: apiToken });
  saw.failures = {
    badRequest: await failure(() => certificates.create({ zone_id, csr: 'no request', validity_days: 30 })),
    notFound: await failure(() => certificates.get(unknown, { zone_id })),
    denied: await failure(() => stranger.clientCertificates.get(unknown, { zone_id })),
    unauthenticated: await failure(() => stranger.user.tokens.verify()),
  };
  saw.byKey = (await byKey.clientCertificates.get(id, { zone_id })).id;
  saw.verified = (await client.user.tokens.verify()).status;
  console.log(JSON.stringify(saw));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
