// Rendered requests: the rules that the provider's API enforces, and what must survive the way
// from one dialect to another.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "t/check/answer.hpp"
#include "translators/dialect/dialect.hpp"

namespace llm::check {

// What a body says, without regard to the dialect's shape.
struct Said {
    std::vector<std::string> system, user, assistant;  // texts
    struct Use {
        std::string id, name, arguments;
    };
    std::vector<Use> calls;
    struct Result {
        std::string id, text;
    };
    std::vector<Result> results;
    std::vector<std::string> images;  // base64 data or address
    size_t documents = 0;
};
// For the readers of the dialects (DialectCheck::read_request): blank text is none.
void add_text(std::vector<std::string> &to, json::Value text);

// Would the API take this body, which a client of another dialect caused?
void check_chat_rules(json::Value root, const ModelTraits &traits, Problems &problems);
void check_messages_rules(json::Value root, const ModelTraits &traits, Problems &problems);

// A target that requests are rendered for.
struct Aim {
    DialectId dialect;
    std::string_view model;
    bool is_official;
};
const std::vector<Aim> &aims();

struct RequestReport {
    size_t rendered = 0;
    std::vector<std::string> refused;  // "target: member"
};

// Parses a client's request and renders it for every target, with and without drop_params.
// False when it is no request of the dialect; `why` says so.
bool check_request(DialectId client, std::string_view bytes, RequestReport &report,
                   std::string &why, Problems &problems);

// The body that pass-through sends; empty when it cannot.
std::string splice(DialectId dialect, std::string_view bytes, const Target &target);
void check_splice(DialectId dialect, std::string_view bytes, Problems &problems);

}  // namespace llm::check
