// See google_token.hpp. The signature is OpenSSL's; nothing of the key is kept here.
#include "translators/provider/google_token.hpp"

#include <openssl/evp.h>
#include <openssl/pem.h>

#include <memory>

#include "translators/json/writer.hpp"

namespace llm {

namespace {

constexpr std::string_view kScope = "https://www.googleapis.com/auth/cloud-platform";
constexpr int64_t kLifetime = 3600;  // the most that is given

template <auto free_it>
struct Free {
    template <class T>
    void operator()(T *it) const {
        free_it(it);
    }
};
using Bio = std::unique_ptr<BIO, Free<BIO_free>>;
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, Free<EVP_MD_CTX_free>>;

Key read_key(std::string_view pem) {
    Bio bio(BIO_new_mem_buf(pem.data(), int(pem.size())));
    return Key(bio ? PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr) : nullptr);
}

std::string base64url(std::string_view bytes) {
    constexpr std::string_view kDigits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    std::string out;
    uint32_t bits = 0;
    int count = 0;
    for (unsigned char c : bytes) {
        bits = bits << 8 | c;
        for (count += 8; count >= 6;) {
            count -= 6;
            out += kDigits[bits >> count & 63];
        }
    }
    if (count > 0) {
        out += kDigits[bits << (6 - count) & 63];
    }
    return out;
}

Result<std::string> sign(std::string_view pem, std::string_view text) {
    Key key = read_key(pem);
    DigestContext context(EVP_MD_CTX_new());
    size_t size = 0;
    const auto *bytes = reinterpret_cast<const unsigned char *>(text.data());
    if (!key || !context ||
        EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get()) != 1 ||
        EVP_DigestSign(context.get(), nullptr, &size, bytes, text.size()) != 1) {
        return Error{Errc::internal, "the private key cannot sign"};
    }
    std::string signature(size, '\0');
    if (EVP_DigestSign(context.get(), reinterpret_cast<unsigned char *>(signature.data()), &size,
                       bytes, text.size()) != 1) {
        return Error{Errc::internal, "the private key cannot sign"};
    }
    signature.resize(size);
    return signature;
}

std::string plain_member(json::Value root, std::string_view name) {
    Arena arena;
    return std::string(json::unescape(root.find(name).text(), arena));
}

}  // namespace

bool has_usable_key(const ServiceAccount &account) {
    Key key = read_key(account.private_key);
    return key && EVP_PKEY_base_id(key.get()) == EVP_PKEY_RSA;
}

Result<std::string> token_request(const ServiceAccount &account, int64_t now) {
    ByteBuffer head, claims;
    json::Writer h(head);
    h.object().key("alg").plain("RS256").key("typ").plain("JWT");
    if (!account.private_key_id.empty()) {
        h.key("kid").plain(account.private_key_id);
    }
    h.end();
    json::Writer c(claims);
    c.object().key("iss").plain(account.client_email).key("scope").plain(kScope);
    c.key("aud").plain(account.token_uri).key("iat").number(now);
    c.key("exp").number(now + kLifetime).end();
    std::string signed_text = base64url(head.view()) + "." + base64url(claims.view());
    Result<std::string> signature = sign(account.private_key, signed_text);
    if (!signature) {
        return signature.error();
    }
    return "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=" +
           signed_text + "." + base64url(*signature);
}

Result<AccessToken> parse_access_token(json::Value root) {
    AccessToken token;
    token.value = plain_member(root, "access_token");
    token.lifetime = root.find("expires_in").as_int().value_or(kLifetime);
    for (unsigned char c : token.value) {
        if (c <= 0x20 || c >= 0x7f) {
            token.value.clear();  // would be another header line
            break;
        }
    }
    if (token.value.empty() || token.lifetime <= 0) {
        return Error{Errc::upstream_protocol, "there is no access token in the answer"};
    }
    return token;
}

}  // namespace llm
