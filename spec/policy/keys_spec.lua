-- SPDX-License-Identifier: Apache-2.0
-- Keys of perilune.crypto: signatures as JWS has them, JWKs, sealed texts, requests for certificates and their facts.
local base64 = require "perilune.base64"
local core = require "perilune.core"
local crypto = require "perilune.crypto"

local kinds = { ["P-256"] = "ES256", ["P-384"] = "ES384", ["P-521"] = "ES512", Ed25519 = "EdDSA", RSA = "RS256" }

describe("crypto.key", function()
  -- RFC 7515 appendix A.3 and RFC 8037 appendix A.4.
  it("verifies the signatures of the RFCs", function()
    local ec = assert(crypto.key { kty = "EC", crv = "P-256", x = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
      y = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" })
    local text = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
      .. "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    local signature = base64.decode_url("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSA"
      .. "pmWQxfKTUJqPP3-Kg6NU1Q")
    assert.is_true(ec:verify("ES256", text, signature))
    local ed = assert(crypto.key { kty = "OKP", crv = "Ed25519", x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" })
    assert.is_true(ed:verify("EdDSA", "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc", base64.decode_url(
      "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg")))
    assert.equal("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", base64.encode_url(crypto.thumbprint(ed)))
  end)

  it("signs with every kind of key, and verifies nothing else", function()
    for kind, algorithm in pairs(kinds) do
      local key = crypto.new_key(kind)
      local public = assert(crypto.key(crypto.jwk(key)))
      local signature = key:sign(algorithm, "text")
      assert.equal(kind, public:kind())
      assert.is_false(public:is_private())
      assert.is_true(public:verify(algorithm, "text", signature))
      assert.is_false(public:verify(algorithm, "Text", signature))
      assert.is_false(public:verify(algorithm, "text", signature .. "x"))
      assert.is_false(public:verify(algorithm, "text", ""))
      for other, wrong in pairs(kinds) do
        if other ~= kind then assert.is_false(public:verify(wrong, "text", signature)) end
      end
      assert.is_false(public:verify("HS256", "text", signature))
      assert.is_false(public:verify("none", "text", ""))
      assert.error_matches(function() public:sign(algorithm, "text") end, "wants a private")
      assert.equal(public:public_pem(), assert(crypto.key(key:private_pem())):public_pem())
      assert.equal(public:public_pem(), assert(crypto.key(key:public_pem())):public_pem())
    end
  end)

  it("pads as PS256 has it", function()
    local key = crypto.new_key "RSA"
    local signature = key:sign("PS256", "text")
    assert.is_true(key:verify("PS256", "text", signature))
    assert.is_false(key:verify("RS256", "text", signature))
    assert.is_false(key:verify("PS384", "text", signature))
  end)

  it("says why something is no key", function()
    local point = crypto.jwk(crypto.new_key "P-256")
    local function why(change)
      local jwk = {}
      for name, value in pairs(point) do jwk[name] = value end
      for name, value in pairs(change) do jwk[name] = value or nil end
      return select(2, crypto.key(jwk))
    end
    assert.equal("the point is not on the curve", why { y = point.x })
    assert.equal("x and y do not have the length of the curve", why { x = "AA" })
    assert.equal("'y' is missing, or no base64url", why { y = false })
    assert.equal("the curve (crv) of EC must be P-256, P-384 or P-521", why { crv = "P-257" })
    assert.equal("the curve (crv) of OKP must be Ed25519", why { kty = "OKP" })
    assert.equal("a JWK has kty RSA, EC or OKP", why { kty = "oct" })
    assert.matches("no RSA key", why { kty = "RSA", n = base64.encode_url(("\255"):rep(128)), e = "AQAB" })
    assert.matches("too long", why { kty = "RSA", n = base64.encode_url(("\255"):rep(5000)), e = "AQAB" })
    assert.matches("^no key: expected PEM", select(2, crypto.key "nonsense"))
    assert.matches("at most 65536 bytes", select(2, crypto.key(("x"):rep(70000))))
  end)
end)

describe("crypto.seal", function()
  it("keeps a text that only its key opens, unchanged, with what goes with it", function()
    local key, other = crypto.random(32), crypto.random(32)
    for _, text in ipairs { "", "a", ("long"):rep(5000) } do
      local sealed = crypto.seal(key, text, "with")
      assert.equal(text, crypto.unseal(key, sealed, "with"))
      assert.is_nil(crypto.unseal(other, sealed, "with"))
      assert.is_nil(crypto.unseal(key, sealed, "without"))
      assert.is_nil(crypto.unseal(key, sealed))
      for _, at in ipairs { 1, 13, #sealed } do
        local byte = string.char((sealed:byte(at) + 1) % 256)
        assert.is_nil(crypto.unseal(key, sealed:sub(1, at - 1) .. byte .. sealed:sub(at + 1), "with"))
      end
      assert.are_not.equal(sealed, crypto.seal(key, text, "with"))
    end
    assert.is_nil(crypto.unseal(key, ""))
    assert.error_matches(function() crypto.seal("short", "text") end, "a key has 32 bytes, not 5")
  end)
end)

describe("certificates", function()
  it("are signed for the key of a request, and read again", function()
    local signer, key = crypto.new_key(), crypto.new_key()
    local der = core.certificate_request(key, { "a.example", "*.b.example" })
    local pem = ("-----BEGIN CERTIFICATE REQUEST-----\n%s\n-----END CERTIFICATE REQUEST-----\n"):format(
      (base64.encode(der):gsub(("."):rep(64), "%0\n")))
    local subject = assert(crypto.key(pem))
    assert.equal(key:public_pem(), subject:public_pem())
    local certificate = core.certificate_sign(subject, signer, { "a.example", "*.b.example" }, 1000000000, 2000000000)
    local facts = assert(core.certificate_facts(certificate))
    assert.same({ "a.example", "*.b.example" }, facts.names)
    assert.equal(1000000000, facts.not_before)
    assert.equal(2000000000, facts.not_after)
    assert.equal("CN=perilune", facts.issuer)
    assert.equal(1, facts.count)
    assert.matches("^%x+$", facts.serial)
    assert.equal(40, #facts.authority)
    assert.equal(key:public_pem(), assert(crypto.key(certificate)):public_pem())
    local live = core.live "a store"
    assert.is_true(live:set("a.example", certificate .. key:private_pem()))
    assert.is_true(live:has "a.example")
    assert.is_false(live:has "b.example")
    assert.is_true(live:set("*.b.example", certificate .. key:private_pem()))
    assert.is_true(core.live("a store"):has "x.b.example")
    assert.is_false(live:has "x.y.b.example")
    assert.is_true(live:set("a.example", nil))
    assert.is_false(live:has "a.example")
    assert.matches("does not belong", select(2, live:set("a.example", certificate .. signer:private_pem())))
    assert.matches("no start line", select(2, core.certificate_facts "x"))
  end)
end)
