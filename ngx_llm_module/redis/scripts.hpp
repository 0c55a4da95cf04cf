// The scripts that run inside Redis: the .lua files of this folder. Each begins with its inputs and
// outputs. scripts.inc holds their text for the compiler (make scripts).
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace llm {

struct RedisScript {
    std::string_view name;
    std::string_view text;
    std::string sha;  // how Redis calls it: SHA-1, 40 hex digits
};

// All of them; their sums are made at the first call, which is not in a request's way.
std::span<const RedisScript> redis_scripts();
const RedisScript &redis_script(std::string_view name);

}  // namespace llm
