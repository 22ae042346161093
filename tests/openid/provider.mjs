// An OpenID provider for the tests: oidc-provider, which is certified, with people who are what their login says.
//
//     node provider.mjs <folder with node_modules> <port>
//
// A login of "noor@birds,plants" is the person noor@example.org of the groups birds and plants; its password is anything.
// POST /rotate exchanges the keys with which the provider signs.

import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, port] = process.argv.slice(2);
const installed = createRequire(join(folder, "package.json"));
const { default: Provider } = await import(pathToFileURL(installed.resolve("oidc-provider")));

// Of applications on a person's own machine, since these may return to any port of it.
const client = (name) => ({
  client_id: name,
  client_secret: `secret of ${name}+%`,
  application_type: "native",
  redirect_uris: ["http://127.0.0.1/sign-in/return"],
});

function person(id) {
  const [name, groups = ""] = id.split("@");
  const claims = { sub: id, name, email_verified: name !== "unverified" };
  return {
    accountId: id,
    claims: () => ({
      ...claims,
      ...(name !== "nameless" && { email: `${name}@example.org` }),
      groups: groups.split(",").filter(Boolean),
    }),
  };
}

function make() {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return new Provider(`http://127.0.0.1:${port}`, {
    clients: [client("suspects"), client("another")],
    jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), use: "sig", kid: crypto.randomUUID() }] },
    cookies: { keys: ["of the tests"] },
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"], groups: ["groups"] },
    findAccount: (_, id) => person(id),
    ttl: { IdToken: 60, AccessToken: 60, AuthorizationCode: 60, Interaction: 600, Session: 600, Grant: 600 },
  }).callback();
}

let answer = make();
createServer((request, response) => {
  if (request.method === "POST" && request.url === "/rotate") {
    answer = make();
    response.end();
  } else {
    answer(request, response);
  }
}).listen(Number(port), "127.0.0.1", () => console.log("listening"));
