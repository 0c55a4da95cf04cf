// What a dialect is: read this first. Each dialect is one row in dialects.def and one family of
// files implementing the functions below; the registry finds it by id or name. All of it is pure:
// bytes and IR in, bytes and IR out.
//
// Two ways through:
//   translated     client body -> parse_request -> ir::Request -> render_request -> provider
//                  provider    -> parse_response / Decoder -> ir -> render_response / Encoder
//   pass-through   same dialect on both sides: the client's bytes with splice_request's edits;
//                  the provider's bytes with an Observer beside them.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "translators/core/arena.hpp"
#include "translators/core/errors.hpp"
#include "translators/core/ir.hpp"
#include "translators/dialect/tool_names.hpp"
#include "translators/json/reader.hpp"
#include "translators/json/writer.hpp"
#include "translators/wire/sse.hpp"

namespace llm {

// What routing and balance need to know of a request before anything is translated.
struct Envelope {
    JsonText model;
    bool stream = false;
    bool usage_wanted = false;   // chat: stream_options.include_usage
    bool is_structured = false;  // response_format / output_config.format in play
    bool has_tools = false;
    int64_t max_tokens = 0;  // of each answer; 0: not said
    int64_t answers = 1;     // that are asked for at once
    // Responses: the earlier answer that this one goes on from, and whether the provider is to keep
    // the new one.
    JsonText previous;
    bool keeps_answer = false;
};

// Where a service keeps to the body of a dialect but for its edges.
enum class Carrier : uint8_t {
    direct,   // the dialect's own address, and everybody who imitates it
    azure,    // model in the path, api-version
    vertex,   // Google Cloud: messages lose `model` and gain anthropic_version; Gemini has labels
    bedrock,  // InvokeModel: messages lose `model` and `stream` and gain anthropic_version
};

// Properties of the model behind a deployment that change how a request is written; from
// provider/model_traits (patterns on the name) and the provider's quirks.
struct ModelTraits {
    bool max_completion_tokens = false;  // chat: that name instead of max_tokens
    bool is_reasoning = false;           // chat: o-series, gpt-5: developer role
    bool developer_role = false;
    bool strict_members = true;  // refuses members it does not know
    bool no_stream_options = false;
    bool wants_reasoning_content = false;  // chat: history needs reasoning_content
    bool thinking = false;                 // messages: knows `thinking` at all
    bool adaptive_thinking = false;        // messages: thinking{adaptive} + output_config.effort
    bool effort_xhigh = false;
    bool rejects_sampling = false;  // messages: no temperature, top_p, top_k
    bool temperature_xor_top_p = false;
    bool structured_output = false;   // messages: output_config.format
    bool prefill = true;              // a trailing assistant turn is continued
    bool service_tier = false;        // chat: knows the tiers of OpenAI
    bool system_in_messages = false;  // messages: role system among the turns
    int64_t max_output = 4096;        // for max_tokens, where the target requires it
    bool mistral = false;          // chat: ids of 9 characters, `any`, random_seed, thinking parts
    bool string_content = false;   // chat: content must be a string, not a list
    bool no_strict_tools = false;  // chat: refuses `strict` in tools
    bool no_tool_choice_required = false;  // chat: knows auto and none only
    bool thinking_switch = false;          // chat: `thinking:{type}` turns reasoning on and off
    bool enable_thinking = false;          // chat: `enable_thinking` turns reasoning on and off
    bool user_last = false;                // the last message must be from the user
    bool thinking_level = false;           // gemini: thinkingLevel instead of thinkingBudget
    int64_t thinking_min = 0;          // gemini: least budget; -1: thinking cannot be turned off
    int64_t thinking_max = 0;          // gemini: largest budget; 0: knows no thinking
    bool claude = false;               // converse: a model of Anthropic
    bool nova = false;                 // converse: a model of Amazon
    bool reasoning_details = false;    // chat: takes back what it gave in the member of this name
    uint32_t refuses = 0;              // chat: parameters, see chat_parameters.hpp
    std::string_view temperature_max;  // chat: a higher one becomes this one; empty: any
    std::string_view model_prefix;     // of names without a slash
};

// The side that a request is rendered for.
struct Target {
    std::string_view model;  // the provider's own name
    ModelTraits traits;
    Carrier carrier = Carrier::direct;
    bool drop_params = false;  // on: what cannot be said is left out and named
    // Flags of anthropic-beta for a body that has them (Carrier::bedrock), comma separated, already
    // filtered: see anthropic_beta.hpp.
    std::string_view beta_flags;
    // Responses: the earlier answer by its keeper's own name, in the place of what the client sent.
    std::string_view previous_id;
    // The provider could not read reasoning of earlier turns: none of it is sent again.
    bool without_reasoning = false;
};

// Parameters left out of a translated request, for x-llm-dropped-params. Hints (user, metadata,
// cache keys ...) are always droppable; what changes the answer's meaning only with drop_params,
// otherwise render_request fails with Errc::unsupported naming it.
struct Notes {
    std::vector<std::string_view> dropped;  // plain names, no duplicates
    std::vector<Renamed> renamed;           // tools under another name; see ClientView
    bool json_tool = false;                 // structured output by a forced tool; see ClientView
    std::vector<std::string_view> custom_tools;  // free text tools, sent as functions; ClientView

    void drop(std::string_view name) {
        for (std::string_view known : dropped) {
            if (known == name) {
                return;
            }
        }
        dropped.push_back(name);
    }
};

// One edit of a pass-through body, in ascending order: bytes [begin, end) become `text`.
struct Edit {
    uint32_t begin = 0;
    uint32_t end = 0;
    std::string text;
};

// Where generated ids come from (tests give a fixed seed).
struct IdSource {
    virtual uint64_t next() = 0;

  protected:
    ~IdSource() = default;
};

// The client's side of an answer.
struct ClientView {
    bool usage_wanted = false;   // chat stream: send the usage chunk
    bool show_reasoning = true;  // messages: only when the request enabled thinking
    bool legacy_functions = false;
    bool json_array = false;  // gemini without alt=sse: the stream is one JSON array
    int64_t now = 0;          // seconds, for `created` when the provider gave none
    IdSource *ids = nullptr;
    std::string_view model;                         // shown when the provider named none
    uint64_t request_bytes = 0;                     // for an estimate of input tokens
    const std::vector<Renamed> *renamed = nullptr;  // from Notes of the request
    // From Notes: the call of the tool kJsonTool is the text of the answer, its arguments are that
    // text, and it does not count as a tool call for the finish reason.
    bool json_tool = false;
    // From Notes, plain names as the client knows them: a call of one of these has {"input": text}
    // as its arguments, and the client gets the text.
    const std::vector<std::string_view> *custom_tools = nullptr;
    // What the client asked for, where it was parsed: dialects that repeat parts of the request in
    // their answers copy them when the encoder is made (the request is gone afterwards).
    const ir::Request *request = nullptr;
};

// The tool that stands for structured output at models without it.
constexpr std::string_view kJsonTool = "json_tool_call";

class Decoder {
  public:
    virtual ~Decoder() = default;
    // Bytes as they came, cut anywhere; readable json::kPadding past their end. The events are
    // the same however the bytes were cut. An error event is terminal: later input is ignored.
    virtual void feed(std::string_view bytes, ir::EventSink &sink) = 0;
    // End of input: emits what is due (finish, end) or error stream_truncated.
    virtual void finish(ir::EventSink &sink) = 0;
    virtual bool ended() const = 0;     // `end` or `error` was emitted
    virtual size_t memory() const = 0;  // bytes held, for the bound
};

class Encoder {
  public:
    virtual ~Encoder() = default;
    // Appends the frames of one event to `out`; nothing for events without a frame.
    virtual void event(const ir::StreamEvent &event, ByteBuffer &out) = 0;
    virtual void ping(ByteBuffer &out) = 0;
    // Terminal; nothing may follow.
    virtual void error(const ApiError &error, ByteBuffer &out) = 0;
};

// What an observer saw in one frame of a pass-through stream.
struct Observation {
    bool is_content = false;  // first content: the commit point (text, tool, reasoning)
    bool is_end = false;      // terminal frame ([DONE], message_stop)
    bool is_finish = false;   // finish_reason / message_delta stop_reason seen
    bool is_error = false;    // an error frame; `error` says which
    bool has_usage = false;   // `usage` was updated
    bool hide = false;        // the client did not ask for this frame (our usage chunk)
    // ObserverOptions::ids: the names of an answer that the provider keeps and of the one before
    // it, where they stand in the frame's data; escaped, without quotes. Empty: not in this frame.
    std::string_view id;
    std::string_view previous_id;
};

// Reads a pass-through stream frame by frame, cheaply: only what the ledger and the commit point
// need. Frames that it cannot read pass as they are.
class Observer {
  public:
    virtual ~Observer() = default;
    virtual Observation on_frame(const wire::SseEvent &frame) = 0;
    virtual const Usage &usage() const = 0;
    virtual const ApiError &error() const = 0;   // valid until the next frame
    virtual std::string_view model() const = 0;  // as the provider named it; owned
    virtual std::string_view finish_reason() const = 0;
    // End of input: true when the stream is complete (terminal frame seen, or all that the
    // dialect demands of a clean end). `tail` gets what a client must still see (a missing
    // [DONE]).
    virtual bool finish(ByteBuffer &tail) = 0;
};

struct ObserverOptions {
    bool hide_usage = false;  // drop the usage chunk that we asked for ourselves
    bool ids = false;         // tell where the names of kept answers stand
};

// One dialect: a table of functions. A dialect that only clients speak has no decoder, one that
// only providers speak no encoder; the functions of the other side are null.
struct Dialect {
    DialectId id;
    std::string_view name;  // `dialect` directive and $llm_dialect
    // Below base_url; {model} stands for the escaped name. stream_path: where it differs.
    std::string_view chat_path;
    std::string_view stream_path;
    // Content type of a provider's stream.
    std::string_view stream_type = "text/event-stream";

    Result<Envelope> (*read_envelope)(json::Value root);
    Status (*parse_request)(json::Value root, Arena &arena, ir::Request &request);
    Status (*render_request)(const ir::Request &request, const Target &target, Arena &arena,
                             json::Writer &writer, Notes &notes);
    // Edits for pass-through: `model`, what our own accounting needs, and what the provider would
    // refuse.
    Status (*splice_request)(json::Value root, const Envelope &envelope, const Target &target,
                             std::vector<Edit> &edits, Notes &notes);

    Status (*parse_response)(json::Value root, Arena &arena, ir::Response &response);
    void (*render_response)(const ir::Response &response, const ClientView &view, Arena &arena,
                            json::Writer &writer);
    // Usage, model and finish reason of a whole pass-through answer (already parsed); false when
    // the body is no answer of this dialect (then it is a failed attempt).
    bool (*observe_response)(json::Value root, Usage &usage, JsonText &model, JsonText &finish);

    std::unique_ptr<Decoder> (*make_decoder)();
    std::unique_ptr<Encoder> (*make_encoder)(const ClientView &view);
    std::unique_ptr<Observer> (*make_observer)(const ObserverOptions &options);

    // The body of an error answer, and the status it goes with.
    uint16_t (*render_error)(const ApiError &error, std::string_view request_id,
                             json::Writer &writer);
    // One error frame for a pass-through stream (an Encoder has its own).
    void (*render_error_frame)(const ApiError &error, ByteBuffer &out);
    // A keep-alive that the dialect's SDKs ignore.
    std::string_view ping_frame;

    // Counting the tokens of a request; all null where the dialect has no such call. The counter
    // of a provider is asked with render_count; a client's body is read with parse_request.
    std::string_view count_path;
    Status (*render_count)(const ir::Request &request, const Target &target, Arena &arena,
                           json::Writer &writer, Notes &notes) = nullptr;
    std::optional<int64_t> (*parse_count)(json::Value root) = nullptr;
    void (*render_counted)(int64_t tokens, json::Writer &writer) = nullptr;

    // Whether a client that asked like this is shown reasoning; null: always.
    bool (*is_reasoning_wanted)(const ir::Request &request) = nullptr;
    bool shows_reasoning(const ir::Request &request) const {
        return is_reasoning_wanted == nullptr || is_reasoning_wanted(request);
    }

    // Where events are numbered: the same frame behind so many others. Null elsewhere.
    void (*render_error_behind)(const ApiError &error, int64_t events, ByteBuffer &out) = nullptr;

    bool is_client() const { return make_encoder != nullptr; }
    bool is_provider() const { return make_decoder != nullptr; }
};

#define LLM_DIALECT(id, table) extern const Dialect table;
#include "translators/dialect/dialects.def"
#undef LLM_DIALECT

// Every dialect that there is.
std::span<const Dialect *const> dialects();
const Dialect &dialect(DialectId id);
const Dialect *find_dialect(std::string_view name);

}  // namespace llm
