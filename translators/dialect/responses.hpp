// The OpenAI Responses dialect: what its files give to the row in responses.cpp. Outside of the
// family only kResponses (dialect.hpp) is used.
#pragma once

#include "translators/dialect/dialect.hpp"

namespace llm::responses {

// --- as a provider ---

// responses_request_render.cpp
Status render_request(const ir::Request &request, const Target &target, Arena &arena,
                      json::Writer &writer, Notes &notes);

// responses_response_parse.cpp
Status parse_response(json::Value root, Arena &arena, ir::Response &response);

// responses_decoder.cpp
std::unique_ptr<Decoder> make_decoder();

// responses_request_render.cpp: counting
Status render_count(const ir::Request &request, const Target &target, Arena &arena,
                    json::Writer &writer, Notes &notes);
std::optional<int64_t> parse_count(json::Value root);

// --- as a client ---

// responses_request_parse.cpp
Result<Envelope> read_envelope(json::Value root);
Status parse_request(json::Value root, Arena &arena, ir::Request &request);

// responses_splice.cpp
Status splice_request(json::Value root, const Envelope &envelope, const Target &target,
                      std::vector<Edit> &edits, Notes &notes);

// responses_response_render.cpp
void render_response(const ir::Response &response, const ClientView &view, Arena &arena,
                     json::Writer &writer);

// responses_observer.cpp
bool observe_response(json::Value root, Usage &usage, JsonText &model, JsonText &finish);
std::unique_ptr<Observer> make_observer(const ObserverOptions &options);

// responses_encoder.cpp
std::unique_ptr<Encoder> make_encoder(const ClientView &view);

// responses_error.cpp
uint16_t render_error(const ApiError &error, std::string_view request_id, json::Writer &writer);
void render_error_frame(const ApiError &error, ByteBuffer &out);
// The same with its place in the stream.
void append_error_event(const ApiError &error, int64_t sequence, ByteBuffer &out);
// The code in the object of a failed answer: one of a few that the API has.
std::string_view failure_code(ErrorClass error_class);
void render_counted(int64_t tokens, json::Writer &writer);

// Items, messages and the calls among them: more are refused, as in the chat dialect.
constexpr uint32_t kMaxItems = 8192;

}  // namespace llm::responses
