// Fuzz target of the Responses dialect. The first byte chooses the direction, the second the
// properties of the target, the rest is the input:
//   requests   what is accepted is written for every provider as valid JSON, and what is written
//              for this dialect is accepted again, and at last written as the same bytes
//   answers    written for every client as valid JSON
//   streams    cut anywhere gives the same events, in legal order; they end once; every client
//              gets a grammatical stream; an observer survives
//   splices    a spliced body is valid JSON with the model it was given
#include <cstdint>
#include <cstdlib>

#include "t/check/client_reader.hpp"
#include "t/check/dialect_check.hpp"
#include "t/check/pump.hpp"
#include "t/check/request_checks.hpp"
#include "t/fuzz/observe.hpp"
#include "t/fuzz/require.hpp"

namespace {

using namespace llm;
using check::Document;

constexpr json::Limits kAnswer = {.allow_lone_surrogates = true};

using llm::fuzz::require;

Target target_of(uint8_t bits) {
    Target target;
    target.model = "target \"1\"";
    target.drop_params = (bits & 1) != 0;
    target.traits.max_completion_tokens = (bits & 2) != 0;
    target.traits.is_reasoning = (bits & 4) != 0;
    target.traits.developer_role = (bits & 8) != 0;
    target.traits.strict_members = (bits & 16) != 0;
    target.traits.thinking = target.traits.adaptive_thinking = (bits & 64) != 0;
    target.traits.structured_output = (bits & 128) != 0;
    return target;
}

// The body for a target, or nothing when it is refused.
std::string written(const ir::Request &request, const Dialect &to, const Target &target) {
    Arena arena;
    ByteBuffer out;
    json::Writer writer(out);
    Notes notes;
    if (!to.render_request(request, target, arena, writer, notes)) {
        return {};
    }
    std::string body(out.view());
    require(static_cast<bool>(Document(body)));
    return body;
}

// What is written for the dialect is a request of the dialect.
std::string written_again(const std::string &body, const Target &target) {
    Document document(body);
    if (body.empty() || !kResponses.read_envelope(document.root())) {
        return {};
    }
    Arena arena;
    ir::Request request;
    require(static_cast<bool>(kResponses.parse_request(document.root(), arena, request)));
    std::string again = written(request, kResponses, target);
    require(!again.empty());
    return again;
}

void fuzz_request(std::string_view body, const Target &target) {
    Document document(body);
    if (!document) {
        return;
    }
    bool has_envelope = static_cast<bool>(kResponses.read_envelope(document.root()));
    Arena arena;
    ir::Request request;
    if (!kResponses.parse_request(document.root(), arena, request)) {
        return;
    }
    for (DialectId provider : check::provider_dialects()) {
        written(request, dialect(provider), target);
    }
    Arena count_arena;
    ByteBuffer count;
    json::Writer writer(count);
    Notes notes;
    if (kResponses.render_count(request, target, count_arena, writer, notes)) {
        require(static_cast<bool>(Document(count.view())));
    }
    // A member given twice is refused before it comes so far. Base64 outside of a data URL is
    // put in order only when it is read as one: the second time is the one that counts.
    std::string once = has_envelope ? written(request, kResponses, target) : std::string();
    std::string twice = written_again(once, target);
    require(written_again(twice, target) == twice);
}

void fuzz_splice(std::string_view body, const Target &target) {
    Document document(body);
    if (!document || !kResponses.read_envelope(document.root())) {
        return;
    }
    Document spliced(check::splice(DialectId::responses, body, target));
    require(spliced && spliced.root()["model"].equals(target.model));
}

void fuzz_answer(std::string_view body) {
    Document document(body, kAnswer);
    if (!document) {
        return;
    }
    Usage usage;
    JsonText model;
    JsonText finish;
    kResponses.observe_response(document.root(), usage, model, finish);
    kResponses.parse_count(document.root());
    Arena arena;
    ir::Response response;
    if (!kResponses.parse_response(document.root(), arena, response)) {
        return;
    }
    for (DialectId client : check::client_dialects()) {
        check::FixedIds ids;
        Arena scratch;
        ByteBuffer out;
        json::Writer writer(out);
        dialect(client).render_response(response, check::full_view(ids), scratch, writer);
        require(static_cast<bool>(Document(out.view(), kAnswer)));
    }
}

void fuzz_stream(std::string_view stream, uint8_t bits) {
    check::EventLog whole = check::decode(DialectId::responses, stream);
    require(whole.problems().empty());
    check::Answer answer = whole.answer();
    require(answer.is_complete != answer.has_error);
    check::Cuts bytes;
    check::Cuts cuts;
    uint32_t state = bits + 1u;
    for (size_t at = 1; at < stream.size(); at++) {
        bytes.push_back(at);
        state = state * 1664525u + 1013904223u;
        if ((state >> 24) % 32 == 0) {
            cuts.push_back(at);
        }
    }
    for (const check::Cuts &places : {bytes, cuts}) {
        check::EventLog log = check::decode(DialectId::responses, stream, places);
        require(log.transcript() == whole.transcript());
    }
    for (DialectId client : check::client_dialects()) {
        check::Problems problems;
        check::read_stream(client, check::translate(DialectId::responses, client, stream),
                           problems);
        require(problems.empty());
    }
    fuzz::observe(kResponses, stream, {.hide_usage = (bits & 1) != 0, .ids = (bits & 2) != 0});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) {
        return 0;
    }
    uint8_t bits = data[1];
    std::string_view input(reinterpret_cast<const char *>(data) + 2, size - 2);
    switch (data[0] % 4) {
        case 0:
            fuzz_request(input, target_of(bits));
            break;
        case 1:
            fuzz_answer(input);
            break;
        case 2:
            fuzz_stream(input, bits);
            break;
        case 3:
            fuzz_splice(input, target_of(bits));
            break;
    }
    return 0;
}
