// Where one way of speaking with a provider is reached: a preset, what the configuration gives for
// its variables, and the paths of the dialect put together.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "translators/provider/path.hpp"
#include "translators/provider/providers.hpp"

namespace llm {

// Paths are below the base URL and may hold {model}.
struct Address {
    const Dialect *dialect = nullptr;
    std::string base_url;  // empty: the provider's
    std::string chat_path;
    std::string stream_path;  // empty: chat_path
    std::string count_path;   // empty: there is no such call
    Carrier carrier = Carrier::direct;
};

// The dialect, when this build has it; dialect() takes another one for those that are missing.
const Dialect *find_registered(DialectId id);
// Its name in messages, also when it is missing.
std::string_view dialect_name(DialectId id);

// The paths of `dialect` on a server that is nothing but that.
Address plain_address(const Dialect &dialect);

// Empty on success, else the variable that has no value.
std::string_view main_address(const ProviderPreset &preset, const Dialect &dialect,
                              std::span<const UrlVariable> variables, Address &address);
std::string_view further_address(const Spoken &spoken, const Dialect &dialect,
                                 std::span<const UrlVariable> variables, Address &address);

// May a client of this dialect be connected to the provider as it is?
bool can_pass(const Dialect &dialect);

// The credential of a dialect's imitators where there is no preset.
Auth usual_auth(DialectId dialect);

}  // namespace llm
