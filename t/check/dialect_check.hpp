// What the checkers must know of a dialect: one row each in dialect_checks.def. Everything else in
// this folder holds for all of them. A provider's side writes answers as its services send them;
// a client's side reads what the gateway sends as a strict client would.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "t/check/client_reader.hpp"
#include "t/check/request_checks.hpp"
#include "t/check/scenario.hpp"

namespace llm::check {

struct DialectCheck {
    DialectId id;

    // --- both sides ---
    // What a request of the dialect says.
    Said (*read_request)(json::Value root) = nullptr;

    // --- as a provider ---
    // Takes out of a made-up answer what the dialect cannot say, and adds what only it can.
    void (*fit)(Scenario &scenario, Chance &chance) = nullptr;
    std::string (*stream_of)(const Scenario &scenario) = nullptr;
    std::string (*body_of)(const Scenario &scenario) = nullptr;
    // Offsets behind each event of a stream. Null: server-sent events.
    std::vector<size_t> (*frame_ends)(std::string_view stream) = nullptr;
    // Models that requests are rendered for, and the rules of the API for what is rendered.
    std::span<const Aim> aims;
    void (*check_rules)(json::Value root, const ModelTraits &traits, Problems &problems) = nullptr;

    // --- as a client ---
    std::string (*request_of)(const Ask &ask, Chance &chance) = nullptr;
    Answer (*read_stream)(std::string_view bytes, const StreamExpectation &expected,
                          Problems &problems) = nullptr;
    Answer (*read_body)(std::string_view bytes, Problems &problems) = nullptr;
    // The finish word that a client must read when the provider said `message`.
    std::string (*finish_of)(const Message &message) = nullptr;
    bool has_one_choice = false;  // further choices have no place
    bool reads_refusal_as_text = false;
    bool counts_reasoning = true;  // usage tells how much of the output was reasoning
    bool counts_cache_write = true;
    bool carries_signatures = true;  // opaque reasoning of any maker, tagged where it is foreign
    bool signs_unasked = false;      // that comes also to those who are shown no reasoning
    bool is_text_only = false;       // no place for reasoning and calls
    // The id that a client must read for a provider's; null: the same.
    std::string (*call_id_of)(std::string_view id) = nullptr;
};

#define LLM_CHECK(row) extern const DialectCheck row;
#include "t/check/dialect_checks.def"
#undef LLM_CHECK

std::span<const DialectCheck *const> dialect_checks();
const DialectCheck &check_of(DialectId id);
std::vector<DialectId> client_dialects();
std::vector<DialectId> provider_dialects();

}  // namespace llm::check
