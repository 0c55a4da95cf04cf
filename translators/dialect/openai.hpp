// The chat completions dialect: what its files give to the row in openai.cpp. Outside of the
// family only kOpenAi (dialect.hpp) is used.
#pragma once

#include "translators/dialect/dialect.hpp"

namespace llm::openai {

// openai_request_parse.cpp
Result<Envelope> read_envelope(json::Value root);
Status parse_request(json::Value root, Arena &arena, ir::Request &request);

// openai_request_render.cpp
Status render_request(const ir::Request &request, const Target &target, Arena &arena,
                      json::Writer &writer, Notes &notes);

// openai_splice.cpp
Status splice_request(json::Value root, const Envelope &envelope, const Target &target,
                      std::vector<Edit> &edits, Notes &notes);

// openai_response.cpp
Status parse_response(json::Value root, Arena &arena, ir::Response &response);
void render_response(const ir::Response &response, const ClientView &view, Arena &arena,
                     json::Writer &writer);
bool observe_response(json::Value root, Usage &usage, JsonText &model, JsonText &finish);

// openai_decoder.cpp, openai_encoder.cpp, openai_observer.cpp
std::unique_ptr<Decoder> make_decoder();
std::unique_ptr<Encoder> make_encoder(const ClientView &view);
std::unique_ptr<Observer> make_observer(const ObserverOptions &options);

// openai_error.cpp
uint16_t render_error(const ApiError &error, std::string_view request_id, json::Writer &writer);
void render_error_frame(const ApiError &error, ByteBuffer &out);
// The same for the other dialects of OpenAI: a whole body (and its status), and single values.
// `prompt`: the member to blame for a context that is too long.
uint16_t write_error(const ApiError &error, std::string_view prompt, json::Writer &writer);
void write_error_code(const ApiError &error, json::Writer &writer);
void write_error_param(const ApiError &error, std::string_view prompt, json::Writer &writer);

// One limit for whole requests: more messages than this are refused (8192 is far beyond what any
// provider takes).
constexpr uint32_t kMaxMessages = 8192;

}  // namespace llm::openai
