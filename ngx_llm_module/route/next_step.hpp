// What to do when an attempt has failed, as arithmetic: no clock, no nginx. failures.def says what
// each kind of failure allows; the caller says what was tried so far and how much time is left.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "translators/core/errors.hpp"

namespace llm {

enum class Failure : uint8_t {
#define LLM_FAILURE(name, ...) name,
#include "ngx_llm_module/route/failures.def"
#undef LLM_FAILURE
};

enum class Again : uint8_t { never, once, retries };
enum class FallbackKind : uint8_t { none, general, context, content };
enum class Cools : uint8_t { never, rate, alone };

// One row of failures.def.
struct FailureRule {
    std::string_view name;
    Again again;
    bool elsewhere;
    FallbackKind models;
    Cools cools;
    bool parks_key;
};

const FailureRule &rule_of(Failure failure);

// What a provider's own error is.
Failure failure_of(ErrorClass error_class);

// A candidate of the current model, as far as this request has come with it.
struct Tried {
    unsigned tries = 0;
    bool is_out = false;       // not (again) in this request
    bool is_stated = false;    // the provider itself said how long to wait
    int64_t ready_at = 0;      // not before; milliseconds on the caller's clock
    uint32_t failed_keys = 0;  // of the provider, a bit for each
    unsigned failed_urls = 0;  // base URLs that did not connect
};

// Writes down that a try of the candidate failed. `retry_after`: milliseconds that the provider
// asked for, -1: it did not. `random` spreads the waits of many.
void note_failure(Tried &tried, Failure failure, int64_t now, int64_t retry_after, uint32_t random);

struct Situation {
    Failure failure = Failure::server_error;
    std::span<const Tried> candidates;  // in the order in which they are to be tried
    unsigned retries_left = 0;
    bool has_next_model = false;  // of the kind that this failure allows
    int64_t now = 0;
    int64_t time_left = 0;
};

struct NextStep {
    enum class Kind : uint8_t { reply, candidate, model };
    Kind kind = Kind::reply;
    size_t candidate = 0;   // Kind::candidate
    int64_t wait = 0;       // milliseconds before it
    bool is_retry = false;  // it was tried before
};

NextStep next_step(const Situation &situation);

// Seconds, also with a fraction, as in Retry-After: milliseconds; -1 where it is no such number.
int64_t parse_seconds(std::string_view text);

}  // namespace llm
