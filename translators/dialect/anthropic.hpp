// The Anthropic messages dialect, inside: what its files share. Users go through kAnthropic in
// dialect.hpp. Requests: anthropic_request_parse, anthropic_request_render, anthropic_turns,
// anthropic_blocks, anthropic_schema. Answers: anthropic_response. Streams: anthropic_decoder,
// anthropic_encoder, anthropic_observer. Errors: anthropic_error.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "translators/dialect/dialect.hpp"

namespace llm::anthropic {

// anthropic.cpp
bool is_reasoning_wanted(const ir::Request &request);

// --- requests -------------------------------------------------------------------------------

Result<Envelope> read_envelope(json::Value root);
Status parse_request(json::Value root, Arena &arena, ir::Request &request);
Status render_request(const ir::Request &request, const Target &target, Arena &arena,
                      json::Writer &writer, Notes &notes);
// Counting: what the prompt consists of, and nothing that is about the answer.
Status render_count(const ir::Request &request, const Target &target, Arena &arena,
                    json::Writer &writer, Notes &notes);
std::optional<int64_t> parse_count(json::Value root);
void render_counted(int64_t tokens, json::Writer &writer);
Status splice_request(json::Value root, const Envelope &envelope, const Target &target,
                      std::vector<Edit> &edits, Notes &notes);

// The history in the order and shape that the API demands, made from the turns of a request. The
// blocks point into the request.
struct Block {
    enum class What : uint8_t {
        part,       // as the client gave it
        text,       // `text` alone: placeholders, trimmed texts
        system,     // a later system message as user text
        no_result,  // `text` is the id of a call that was never answered
    };
    What what = What::part;
    const ir::Part *part = nullptr;
    JsonText text;
    RawJson cache;
};

struct Message {
    ir::Role role = ir::Role::user;
    std::vector<Block> blocks;
};

struct History {
    std::vector<Message> messages;
    // The last answer of the model calls tools (or is to be continued) and does not begin with
    // thinking: the API refuses thinking for this request.
    bool forbids_thinking = false;
};

// What differs where another API takes the same history (Converse).
struct HistoryRules {
    DialectId origin = DialectId::anthropic;  // whose opaque reasoning is sent
    bool keeps_reasoning = true;
    // The parameter to blame for a part that cannot be sent; empty when it can.
    std::string_view (*unsupported_part)(const ir::Part &part, ir::Role role, DialectId client,
                                         const Target &target, Arena &arena) = nullptr;
};

// Of the messages API.
std::string_view unsupported_part(const ir::Part &part, ir::Role role, DialectId client,
                                  const Target &target, Arena &arena);

Status build_history(const ir::Request &request, const Target &target, Arena &arena, Notes &notes,
                     History &history);
Status build_history(const ir::Request &request, const Target &target, const HistoryRules &rules,
                     Arena &arena, Notes &notes, History &history);

// The cache mark of a part; empty: none.
RawJson cache_of(const ir::Part &part);
// The text of a part that is text for these APIs; null for others.
const JsonText *text_of(const ir::Part &part);

// The longer life of a cache entry (`ttl`) is known to some models on Bedrock only.
bool takes_cache_ttl(const Target &target);
// A cache mark as the carrier takes it: Bedrock knows no scope, and not everywhere a ttl. The same
// bytes where nothing has to go.
std::string_view mark_for_target(std::string_view mark, const Target &target);

// At most four cache marks are allowed: the first `skip` of those written are left out.
struct CacheMarks {
    uint32_t skip = 0;
    const Target *target = nullptr;

    void write(RawJson mark, json::Writer &writer);
};

uint32_t count_marks(const History &history);

// What one block of history is written with.
struct BlockContext {
    const ir::Request &request;
    const Target &target;
    Arena &arena;
    Notes &notes;
    CacheMarks &marks;
};

void write_messages(const History &history, const BlockContext &context, json::Writer &writer);

// --- answers --------------------------------------------------------------------------------

Status parse_response(json::Value root, Arena &arena, ir::Response &response);
void render_response(const ir::Response &response, const ClientView &view, Arena &arena,
                     json::Writer &writer);
bool observe_response(json::Value root, Usage &usage, JsonText &model, JsonText &finish);

// One content block of an answer (also of a history) as a part.
ir::Part parse_answer_block(json::Value block);

ir::Finish finish_of(JsonText stop_reason);
// `has_tools`: a tool_use block was sent. A stop sequence that is not known is end_turn.
std::string_view stop_reason_of(ir::Finish finish, bool has_tools, bool has_sequence);

// Token counts as the API gives them: cumulative, each absent or null member keeps what was known.
struct RawUsage {
    int64_t input = 0;
    int64_t output = 0;
    int64_t cache_read = 0;
    int64_t cache_write = 0;
    int64_t cache_write_5m = 0;
    int64_t cache_write_1h = 0;
    int64_t thinking = 0;
    int64_t web_searches = 0;
    bool known = false;

    void merge(json::Value usage);
    // What Bedrock counted itself (in message_stop), where the answer said nothing of its input.
    void merge_metrics(json::Value metrics);
    Usage to_usage() const;
};

// The members of a usage object, where an object is open: all required ones, always.
void write_usage(Usage usage, json::Writer &writer);
JsonText invent_message_id(const ClientView &view, Arena &arena);
// A citation of this dialect in common terms.
ir::Citation read_citation(json::Value citation);
// Server blocks of another dialect's provider must not reach the client: it sends them back, and
// the API would refuse them.
bool is_server_block(JsonText type);

// --- streams --------------------------------------------------------------------------------

constexpr std::string_view kPingFrame = "event: ping\ndata: {\"type\": \"ping\"}\n\n";
constexpr std::string_view kStopFrame =
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

std::unique_ptr<Decoder> make_decoder();
std::unique_ptr<Encoder> make_encoder(const ClientView &view);
std::unique_ptr<Observer> make_observer(const ObserverOptions &options);

// --- errors ---------------------------------------------------------------------------------

uint16_t render_error(const ApiError &error, std::string_view request_id, json::Writer &writer);
void render_error_frame(const ApiError &error, ByteBuffer &out);

}  // namespace llm::anthropic
