// The Gemini generateContent dialect (also on Vertex AI), inside: what its files share. Users go
// through kGemini in dialect.hpp.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "translators/dialect/dialect.hpp"

namespace llm::gemini {

// --- requests -------------------------------------------------------------------------------
//
// What a Gemini client says and the IR has no member for stands in Request::extra under its
// camelCase name: top-level members as they are called (safetySettings, labels), those of
// generationConfig and toolConfig with that name before them (generationConfig.speechConfig,
// toolConfig.retrievalConfig). includeThoughts is Thinking::display: summarized or omitted.
// A tools[] element that is not functionDeclarations is a server tool, `raw` the whole element; a
// part that the IR cannot hold is an Opaque with the whole part, its signature included.

Result<Envelope> read_envelope(json::Value root);
Status parse_request(json::Value root, Arena &arena, ir::Request &request);
Status render_request(const ir::Request &request, const Target &target, Arena &arena,
                      json::Writer &writer, Notes &notes);
// includeThoughts.
bool is_reasoning_wanted(const ir::Request &request);
Status splice_request(json::Value root, const Envelope &envelope, const Target &target,
                      std::vector<Edit> &edits, Notes &notes);

// --- answers --------------------------------------------------------------------------------

Status parse_response(json::Value root, Arena &arena, ir::Response &response);
void render_response(const ir::Response &response, const ClientView &view, Arena &arena,
                     json::Writer &writer);
bool observe_response(json::Value root, Usage &usage, JsonText &model, JsonText &finish);

// Citations: `raw` of the first one is the whole groundingMetadata (Text::citations: an array with
// it alone); those after it have common terms only.

// `has_calls`: the answer calls a tool, which STOP does not say.
ir::Finish finish_of(JsonText finish_reason, bool has_calls);

// Token counts as the API gives them. Each object with counts replaces the one before as a whole.
struct RawUsage {
    int64_t prompt = 0;
    int64_t tool_use_prompt = 0;
    int64_t cached = 0;
    int64_t candidates = 0;
    int64_t thoughts = 0;
    int64_t audio_in = 0;
    int64_t audio_out = 0;
    bool known = false;

    void merge(json::Value usage_metadata);
    Usage to_usage() const;
};

// --- streams --------------------------------------------------------------------------------

std::unique_ptr<Decoder> make_decoder();
std::unique_ptr<Encoder> make_encoder(const ClientView &view);
std::unique_ptr<Observer> make_observer(const ObserverOptions &options);

// --- errors ---------------------------------------------------------------------------------

uint16_t render_error(const ApiError &error, std::string_view request_id, json::Writer &writer);
void render_error_frame(const ApiError &error, ByteBuffer &out);

// --- counting -------------------------------------------------------------------------------

Status render_count(const ir::Request &request, const Target &target, Arena &arena,
                    json::Writer &writer, Notes &notes);
std::optional<int64_t> parse_count(json::Value root);
void render_counted(int64_t tokens, json::Writer &writer);

}  // namespace llm::gemini
