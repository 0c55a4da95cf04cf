// Fuzzes Converse. The first byte says how:
//   0  a stream: each line is the name of an event (or !exception), a blank and its payload; every
//      cut gives the same events, and their contract holds
//   1  the same for InvokeModel: each line is one event of messages; every cut gives the same bytes
//   2  a whole answer
//   3  a request of messages or chat: what can be rendered keeps the rules of the API
// The second byte chooses cuts, models and switches.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "t/check/aws_frames.hpp"
#include "t/check/bedrock_rules.hpp"
#include "t/check/pump.hpp"
#include "t/fuzz/require.hpp"
#include "translators/core/base64.hpp"
#include "translators/dialect/anthropic_invoke.hpp"
#include "translators/provider/model_traits.hpp"

namespace {

using namespace llm;

using llm::fuzz::require;

template <class Each>
std::string frames_of(std::string_view lines, Each each) {
    std::string stream;
    while (!lines.empty()) {
        size_t end = lines.find('\n');
        stream += each(lines.substr(0, end));
        lines.remove_prefix(end == std::string_view::npos ? lines.size() : end + 1);
    }
    return stream;
}

std::string converse_frame(std::string_view line) {
    std::string_view name = line.substr(0, line.find(' ')).substr(0, 100);
    std::string_view payload = line.substr(name.size());
    return name.starts_with("!") ? check::aws_exception(name.substr(1), payload)
                                 : check::aws_event(name, payload);
}

std::string invoke_frame(std::string_view line) {
    if (line.starts_with("!")) {
        return check::aws_exception(line.substr(1, 40), line);
    }
    ByteBuffer payload;
    payload.append("{\"bytes\":\"");
    append_encoded(line, payload);
    payload.append("\"}");
    return check::aws_event("chunk", payload.view());
}

check::Cuts cuts_of(size_t size, uint32_t state) {
    check::Cuts cuts;
    for (size_t at = 0; at < size;) {
        state = state * 1664525u + 1013904223u;
        at += 1 + (state >> 24) % 37;
        if (at < size) {
            cuts.push_back(at);
        }
    }
    return cuts;
}

void converse_stream(std::string_view lines, uint8_t flags) {
    std::string stream = frames_of(lines, converse_frame);
    if (flags % 5 == 4 && !stream.empty()) {
        stream.resize(stream.size() - 1 - flags % stream.size());
    }
    check::EventLog whole = check::decode(DialectId::bedrock, stream);
    require(whole.problems().empty());
    check::EventLog cut = check::decode(DialectId::bedrock, stream, cuts_of(stream.size(), flags));
    require(whole.transcript() == cut.transcript());
}

std::string sse_of(std::string_view stream, const check::Cuts &cuts) {
    anthropic::InvokeStream invoke;
    ByteBuffer out;
    size_t at = 0;
    check::Cuts ends = cuts;
    ends.push_back(stream.size());
    for (size_t end : ends) {
        std::string piece(stream.substr(at, end - at));
        piece.append(json::kPadding, '\n');
        invoke.feed({piece.data(), end - at}, out);
        at = end;
    }
    return std::string(out.view());
}

void invoke_stream(std::string_view lines, uint8_t flags) {
    std::string stream = frames_of(lines, invoke_frame);
    std::string whole = sse_of(stream, {});
    require(whole == sse_of(stream, cuts_of(stream.size(), flags)));
    check::EventLog log = check::decode(DialectId::anthropic, whole);
    require(log.problems().empty());
}

void answer(std::string_view body) {
    check::Document document(body, {.allow_lone_surrogates = true});
    Arena arena;
    ir::Response response;
    if (document && kBedrock.parse_response(document.root(), arena, response)) {
        require(response.choices.size() == 1);
        check::EventLog log(DialectId::bedrock);
        ir::replay(response, log);
        require(log.problems().empty());
    }
}

void request(std::string_view body, uint8_t flags) {
    constexpr std::string_view kModels[] = {"us.anthropic.claude-sonnet-4-5-20250929-v1:0",
                                            "global.anthropic.claude-opus-4-6-v1",
                                            "anthropic.claude-3-haiku-20240307-v1:0",
                                            "us.amazon.nova-2-lite-v1:0",
                                            "meta.llama3-3-70b-instruct-v1:0",
                                            "openai.gpt-oss-120b-1:0"};
    check::Document document(body);
    Arena arena;
    ir::Request parsed;
    const Dialect &client = flags % 2 == 0 ? kAnthropic : kOpenAi;
    if (!document || !client.parse_request(document.root(), arena, parsed)) {
        return;
    }
    Target target;
    target.model = kModels[flags / 4 % std::size(kModels)];
    target.traits = model_traits(DialectId::bedrock, target.model, true);
    target.drop_params = flags % 4 < 2;
    ByteBuffer out;
    json::Writer writer(out);
    Notes notes;
    if (!kBedrock.render_request(parsed, target, arena, writer, notes)) {
        return;
    }
    check::Document rendered(out.view());
    require(bool(rendered));
    check::Problems problems;
    check::check_converse_rules(rendered.root(), target.traits, problems);
    // What a client says of its own tools is its own affair.
    std::erase_if(problems, [](const std::string &problem) {
        return problem.starts_with("inputSchema ") || problem.starts_with("toolChoice: ");
    });
    if (!problems.empty()) {
        fprintf(stderr, "%s\n", problems[0].c_str());
    }
    require(problems.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) {
        return 0;
    }
    std::string_view input(reinterpret_cast<const char *>(data) + 2, size - 2);
    switch (data[0] % 4) {
        case 0:
            converse_stream(input, data[1]);
            break;
        case 1:
            invoke_stream(input, data[1]);
            break;
        case 2:
            answer(input);
            break;
        default:
            request(input, data[1]);
    }
    return 0;
}
