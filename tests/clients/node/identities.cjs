// The life of an identity by the official Node SDK. Prints one JSON object of what it saw.
const Cloudflare = require('cloudflare');

const { BASE_URL: baseURL, TOKEN: apiToken, ACCOUNT: account_id, CERTIFICATES, KEY, ROOT } = process.env;
const identities = new Cloudflare({ baseURL, apiToken, maxRetries: 0 }).mtlsCertificates;

async function listed() {
  const ids = [];
  for await (const identity of identities.list({ account_id })) ids.push(identity.id);
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
  const leaf = { account_id, ca: false, certificates: CERTIFICATES, private_key: KEY, name: 'by-node' };
  const created = await identities.create(leaf);
  const bundle = await identities.create({ account_id, ca: true, certificates: ROOT });
  const saw = { created, bundle, read: await identities.get(created.id, { account_id }), listed: await listed() };
  saw.associations = [];
  for await (const use of identities.associations.get(created.id, { account_id })) saw.associations.push(use);
  saw.failures = {
    duplicate: await failure(() => identities.create(leaf)),
    badRequest: await failure(() => identities.create({ account_id, ca: false, certificates: CERTIFICATES })),
    denied: await failure(() => identities.get(created.id, { account_id: '0'.repeat(32) })),
  };
  saw.deleted = (await identities.delete(created.id, { account_id })).id;
  saw.failures.notFound = await failure(() => identities.get(created.id, { account_id }));
  saw.left = await listed();
  console.log(JSON.stringify(saw));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
