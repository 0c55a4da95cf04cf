// See kept_id.hpp. The seal is the first half of an HMAC-SHA256 over owner, deployment and name.
#include "translators/provider/kept_id.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

namespace llm {

namespace {

constexpr std::string_view kPrefix = "resp_gw1_";
constexpr size_t kTagDigits = 8;
constexpr size_t kSealDigits = 24;
constexpr char kHex[] = "0123456789abcdef";

std::string seal_of(const KeptSeal &seal, std::string_view id) {
    std::string text("kept answer");
    for (std::string_view part : {seal.owner, seal.deployment, id}) {
        text.append(1, '\0').append(std::to_string(part.size())).append(1, ':').append(part);
    }
    unsigned char mac[EVP_MAX_MD_SIZE] = {};
    unsigned int size = 0;
    HMAC(EVP_sha256(), seal.secret.data(), static_cast<int>(seal.secret.size()),
         reinterpret_cast<const unsigned char *>(text.data()), text.size(), mac, &size);
    std::string digits;
    for (size_t i = 0; i < kSealDigits / 2; ++i) {
        digits.push_back(kHex[mac[i] >> 4]);
        digits.push_back(kHex[mac[i] & 15]);
    }
    return digits;
}

std::optional<uint32_t> read_hex(std::string_view digits) {
    uint32_t number = 0;
    for (char c : digits) {
        size_t value = std::string_view(kHex).find(c);
        if (value == std::string_view::npos) {
            return std::nullopt;
        }
        number = number << 4 | static_cast<uint32_t>(value);
    }
    return number;
}

}  // namespace

uint32_t kept_tag(std::string_view deployment) {
    uint32_t hash = 2166136261u;  // FNV-1a: equal in every build and on every machine
    for (unsigned char c : deployment) {
        hash = (hash ^ c) * 16777619u;
    }
    return hash;
}

std::string seal_kept_id(const KeptSeal &seal, std::string_view id) {
    std::string text(kPrefix);
    uint32_t tag = kept_tag(seal.deployment);
    for (int shift = 28; shift >= 0; shift -= 4) {
        text.push_back(kHex[tag >> shift & 15]);
    }
    return text.append(seal_of(seal, id)).append(1, '_').append(id);
}

std::optional<KeptId> read_kept_id(std::string_view text) {
    constexpr size_t kHead = kPrefix.size() + kTagDigits + kSealDigits;
    if (!text.starts_with(kPrefix) || text.size() < kHead + 2 || text[kHead] != '_') {
        return std::nullopt;
    }
    std::optional<uint32_t> tag = read_hex(text.substr(kPrefix.size(), kTagDigits));
    if (!tag) {
        return std::nullopt;
    }
    return KeptId{*tag, text.substr(kPrefix.size() + kTagDigits, kSealDigits),
                  text.substr(kHead + 1)};
}

bool is_sealed_with(const KeptId &id, const KeptSeal &seal) {
    std::string wanted = seal_of(seal, id.id);
    return id.tag == kept_tag(seal.deployment) && wanted.size() == id.seal.size() &&
           CRYPTO_memcmp(wanted.data(), id.seal.data(), wanted.size()) == 0;
}

}  // namespace llm
