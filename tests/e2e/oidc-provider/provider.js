// An OpenID Connect provider for the tests: whoever signs in at its page is who they say.
// node provider.js FOLDER_OF_NODE_MODULES PORT REDIRECT_URI
const [, , modules, port, redirectUri] = process.argv;
const { default: Provider } = await import(`${modules}/oidc-provider/lib/index.js`);

const issuer = `http://127.0.0.1:${port}`;
const provider = new Provider(issuer, {
  clients: [{
    client_id: "parent-portal",
    redirect_uris: [redirectUri],
    token_endpoint_auth_method: "none",
    response_types: ["code"],
    grant_types: ["authorization_code"],
  }],
  pkce: { required: () => true },
  cookies: { keys: ["only for tests"] },
  features: { devInteractions: { enabled: true } },
});
provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
