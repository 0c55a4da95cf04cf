#include "translators/core/sha256.hpp"

#include <openssl/evp.h>
#include <openssl/sha.h>

namespace llm {

std::string to_hex(const unsigned char *bytes, size_t size) {
    constexpr char kDigits[] = "0123456789abcdef";
    std::string text;
    text.reserve(2 * size);
    for (size_t i = 0; i < size; ++i) {
        text.push_back(kDigits[bytes[i] >> 4]);
        text.push_back(kDigits[bytes[i] & 15]);
    }
    return text;
}

std::string sha256_hex(std::span<const std::string_view> pieces) {
    unsigned char digest[SHA256_DIGEST_LENGTH] = {};
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (context != nullptr && EVP_DigestInit_ex(context, EVP_sha256(), nullptr) == 1) {
        for (std::string_view piece : pieces) {
            EVP_DigestUpdate(context, piece.data(), piece.size());
        }
        EVP_DigestFinal_ex(context, digest, nullptr);
    }
    EVP_MD_CTX_free(context);
    return to_hex(digest, sizeof(digest));
}

std::string sha256_hex(std::string_view text) {
    return sha256_hex(std::span(&text, 1));
}

}  // namespace llm
