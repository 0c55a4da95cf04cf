// What an answer says, free of any dialect's shape: the common ground on which tests compare an
// answer of a provider with what a client gets to see of it.
//
// Filled by EventLog (ir events), answer_of (ir::Response) and the readers of client_reader.hpp
// (bytes as a client gets them). Texts are plain UTF-8, kept apart by kind.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "translators/core/ir.hpp"
#include "translators/json/reader.hpp"

namespace llm::check {

struct Call {
    std::string id;
    std::string name;
    std::string arguments;  // the JSON text; "{}" where there was none
};

// One choice of an answer.
struct Message {
    std::string text;
    std::string refusal;
    std::string spoken;  // both, in their order: what a messages client reads as text
    std::string reasoning;
    std::vector<Call> calls;
    std::vector<std::string> signatures;
    std::vector<std::string> redacted;
    size_t server_blocks = 0;  // what one dialect alone has; spoken answers (audio) apart
    std::string finish;        // a canonical name from IR, else the dialect's own word
    std::string native;
    std::string stop_sequence;
};

struct Answer {
    std::string id;
    std::string model;
    std::map<uint32_t, Message> choices;
    Usage usage;
    bool is_complete = false;  // the terminal event or frame came
    bool has_error = false;
    std::string error_class;  // from IR: the class; from bytes: the type
    std::string error_message;
    DialectId origin = DialectId::openai;  // of signatures

    const Message &first() const;
};

using Problems = std::vector<std::string>;

std::string_view finish_name(ir::Finish finish);
std::string plain(JsonText text);
std::string plain(std::string_view escaped);
// "{}" for arguments that say nothing.
std::string arguments_text(std::string arguments);
// Objects without regard to the order of members; numbers by value.
bool is_same_json(json::Value a, json::Value b);
bool is_same_json(std::string_view a, std::string_view b);
// Shortened and printable, for messages of failed checks.
std::string shown(std::string_view text);

Answer answer_of(const ir::Response &response, DialectId origin);

// Two answers that must say the same (a stream and a whole body, two ways of cutting).
void compare_same(const Answer &expected, const Answer &got, Problems &problems);

// What a client of `dialect` must read when the provider said `provider`. `is_stream`: a broken
// answer may then have been delivered in part.
void compare_with_client(const Answer &provider, const Answer &client, DialectId dialect,
                         Problems &problems);

}  // namespace llm::check
