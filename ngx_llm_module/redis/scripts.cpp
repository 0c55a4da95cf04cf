// Names, texts and sums of the scripts.
#include "ngx_llm_module/redis/scripts.hpp"

#include <openssl/sha.h>

#include <vector>

namespace llm {
namespace {

std::string sum_of(std::string_view text) {
    unsigned char sum[SHA_DIGEST_LENGTH];
    SHA1(reinterpret_cast<const unsigned char *>(text.data()), text.size(), sum);
    std::string result;
    for (unsigned char byte : sum) {
        result.push_back("0123456789abcdef"[byte >> 4]);
        result.push_back("0123456789abcdef"[byte & 15]);
    }
    return result;
}

std::vector<RedisScript> make_scripts() {
    std::vector<RedisScript> scripts = {
#include "ngx_llm_module/redis/scripts.inc"
    };
    for (RedisScript &script : scripts) {
        script.sha = sum_of(script.text);
    }
    return scripts;
}

const std::vector<RedisScript> &all_scripts() {
    static const std::vector<RedisScript> scripts = make_scripts();
    return scripts;
}

}  // namespace

std::span<const RedisScript> redis_scripts() {
    return all_scripts();
}

const RedisScript &redis_script(std::string_view name) {
    for (const RedisScript &script : all_scripts()) {
        if (script.name == name) {
            return script;
        }
    }
    return all_scripts().front();  // a name that no file has: seen by the first test
}

}  // namespace llm
