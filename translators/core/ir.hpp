// The intermediate representation: one form in which every dialect's requests and answers meet.
// All text is a view into the body it was parsed from (JsonText: still escaped) or into the arena
// of the translation; an ir object must not outlive either.
//
// What the IR does not model it keeps: `Opaque` parts and `extra` members hold raw JSON together
// with the dialect that understands it, so that nothing is lost where both sides can say it, and
// whoever drops it can name it.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "translators/core/usage.hpp"
#include "translators/json/text.hpp"

namespace llm {

// In the order of dialects.def.
enum class DialectId : uint8_t {
    openai,       // chat completions
    anthropic,    // messages
    responses,    // OpenAI's newer one
    gemini,       // generateContent
    bedrock,      // Converse; providers only
    cohere,       // v2 chat; providers only
    ollama,       // /api/chat; providers only
    completions,  // legacy completions; clients only
};

namespace ir {

// --- messages -------------------------------------------------------------------------------

// What a piece of text leans on, as far as dialects agree. Offsets count Unicode code points of
// the text of the block; -1: not said.
struct Citation {
    JsonText url;
    JsonText title;
    JsonText quote;
    int64_t start = -1;
    int64_t end = -1;
};

struct Text {
    JsonText text;
    RawJson cache;  // the whole cache_control object, where there is one
    RawJson
        citations;  // in answers: the citations array of the block, as `citations_origin` has it
    DialectId citations_origin = DialectId::anthropic;
    std::vector<Citation> cited;  // the same in common terms, where there are any
};

enum class SourceKind : uint8_t { base64, url, file_id, text, blocks };

struct Source {
    SourceKind kind = SourceKind::base64;
    JsonText mime;   // may be empty: unknown
    JsonText data;   // base64, address, id or plain text
    RawJson blocks;  // SourceKind::blocks: raw content array
};

struct Image {
    Source source;
    JsonText detail;
    RawJson cache;
};

// Anything that is a file: PDF, text, also video (by its media type).
struct Document {
    Source source;
    JsonText title;
    JsonText context;
    RawJson citations;
    RawJson cache;
};

struct Audio {
    JsonText format;
    JsonText data;
};

// The arguments are the JSON text itself (unescaped), exactly as received: parsing and printing
// them again would change large integers and key order. It may be anything, also cut JSON; see
// dialect/tool_arguments.hpp for what a target that wants an object gets.
struct ToolCall {
    JsonText id;
    JsonText name;
    std::string_view arguments;
    RawJson cache;
    bool custom = false;  // free text tool: `arguments` is the text
};

struct Part;

struct ToolResult {
    JsonText call_id;
    JsonText name;  // of the tool, where the client says it; else it is the call's
    std::vector<Part> parts;
    bool is_error = false;
    RawJson cache;
};

// A block of thinking. `signature` and `redacted` are opaque and go back to the provider that
// made them, byte for byte, or nowhere. Gemini signs calls and texts as well: such a signature
// stands in a block without text directly before the call, or behind the text.
struct Reasoning {
    JsonText text;
    JsonText signature;
    JsonText redacted;  // redacted_thinking: only this is set
    JsonText id;        // responses: of the item
    bool is_redacted = false;
    DialectId origin = DialectId::openai;
};

struct Refusal {
    JsonText text;
};

// A block that only one dialect has.
struct Opaque {
    DialectId dialect;
    JsonText type;
    RawJson json;
};

struct Part {
    std::variant<Text, Image, Document, Audio, ToolCall, ToolResult, Reasoning, Refusal, Opaque> is;
};

enum class Role : uint8_t { user, assistant, system };

// Turns stand as the client sent them, but for calls (dialect/tool_history.hpp). A `system` turn is
// a system (or developer) message that came after the first user or assistant turn; those before
// are in Request::system.
struct Turn {
    Role role = Role::user;
    std::vector<Part> parts;
};

// --- request --------------------------------------------------------------------------------

enum class ToolKind : uint8_t { function, custom, server };

struct Tool {
    ToolKind kind = ToolKind::function;
    JsonText name;
    JsonText description;
    RawJson schema;  // absent: a tool without parameters
    std::optional<bool> strict;
    RawJson cache;
    DialectId dialect = DialectId::openai;
    RawJson raw;  // the whole tool as it came
};

enum class ToolChoiceKind : uint8_t { unset, automatic, none, required, named, allowed };

struct ToolChoice {
    ToolChoiceKind kind = ToolChoiceKind::unset;
    JsonText name;                  // named
    std::vector<JsonText> allowed;  // allowed
    bool allowed_required = false;
};

enum class Effort : uint8_t { none, minimal, low, medium, high, xhigh, max };
enum class ThinkingKind : uint8_t { unset, off, effort, budget, adaptive };

// What the client said about thinking, never converted twice (the tables between efforts and
// budgets are not inverses of one another).
struct Thinking {
    ThinkingKind kind = ThinkingKind::unset;
    std::optional<Effort> effort;  // with `effort` always, with `adaptive` and others perhaps
    int64_t budget = 0;
    JsonText display;  // summarized, omitted; empty: not said
};

enum class OutputKind : uint8_t { text, json_object, json_schema };

struct OutputFormat {
    OutputKind kind = OutputKind::text;
    JsonText name;
    JsonText description;
    RawJson schema;
    std::optional<bool> strict;
};

// A top-level member that the IR does not model, or one that belongs to a dialect alone.
struct Extra {
    JsonText name;
    RawJson value;
};

struct Request {
    DialectId dialect = DialectId::openai;  // of the client
    JsonText model;                         // as asked for
    std::vector<Text> system;
    std::vector<Turn> turns;
    std::vector<Tool> tools;
    ToolChoice tool_choice;
    std::optional<bool> parallel_tool_calls;

    // Numbers stay as they were written (0.7, not 0.69999999); empty when unset.
    RawJson max_tokens;
    RawJson temperature;
    RawJson top_p;
    RawJson top_k;
    RawJson seed;
    RawJson frequency_penalty;
    RawJson presence_penalty;
    RawJson logit_bias;
    std::vector<JsonText> stop;
    int64_t n = 1;
    bool logprobs = false;
    RawJson top_logprobs;

    Thinking thinking;
    OutputFormat output;
    JsonText verbosity;
    JsonText service_tier;
    JsonText user;  // end user id
    RawJson metadata;
    RawJson cache;  // top-level cache_control

    bool stream = false;
    bool usage_wanted = false;      // the client asked for usage in the stream
    bool legacy_functions = false;  // chat: `functions` instead of `tools`
    std::vector<Extra> extra;
    // Members of messages that the IR has no place for, by name: no duplicates, few. Only for
    // telling a client of another dialect than the target's that they were left out.
    std::vector<std::string_view> unmodelled;
};

// --- answer ---------------------------------------------------------------------------------

enum class Finish : uint8_t {
    stop,
    stop_sequence,
    length,
    context_length,
    tool_calls,
    content_filter,
    refusal,
    pause,
    malformed,
    error,
    other,
};

struct Choice {
    std::vector<Part> parts;  // reasoning, text, tool calls, ... in order
    Finish finish = Finish::stop;
    JsonText native_finish;
    JsonText stop_sequence;
    RawJson logprobs;
};

struct Response {
    JsonText id;
    JsonText model;
    int64_t created = 0;          // 0: unknown
    std::vector<Choice> choices;  // at least one
    Usage usage;
};

// --- stream ---------------------------------------------------------------------------------

enum class BlockKind : uint8_t { text, reasoning, tool, refusal, image, opaque };

enum class EventKind : uint8_t {
    start,      // id, model, created; usage as far as known. Once, first
    open,       // block, block_kind; tool: id and name; image: name (media type), text (base64)
    delta,      // block, text: a fragment (for a tool: of the argument JSON, escaped; is_custom)
    signature,  // block (reasoning), text
    redacted,   // block (reasoning), text: the block is opened, carries this alone, is closed
    cite,       // block (text), raw: one citation as `origin` has it; `citation`: in common terms
    close,      // block
    logprobs,   // raw: chat logprobs object of this choice
    usage,      // absolute; a later one replaces an earlier one
    finish,     // once for each choice: finish, native, stop_sequence
    end,        // once, last: the answer is complete
    error,      // terminal instead of finish and end
    ping,       // the provider is alive
};

enum class ErrorClass : uint8_t {
    invalid_request,
    unsupported,
    context_length,
    content_policy,
    authentication,
    billing,
    permission,
    not_found,
    too_large,
    rate_limit,
    timeout,
    overloaded,
    upstream,
    upstream_protocol,
    stream_truncated,
};

struct StreamEvent {
    EventKind kind = EventKind::ping;
    BlockKind block_kind = BlockKind::text;
    Finish finish = Finish::stop;
    ErrorClass error_class = ErrorClass::upstream;
    uint32_t choice = 0;
    uint32_t block = 0;      // numbered from 0 in order of opening, over all choices
    bool is_custom = false;  // open of a tool: its deltas are free text, not the JSON of arguments
    JsonText text;           // delta, signature, redacted; error: the provider's message
    JsonText id;             // start: of the answer; open: of the call
    JsonText name;           // start: the model; open: the tool; error: the provider's code
    JsonText stop_sequence;
    JsonText native;                          // finish: as the provider called it
    RawJson raw;                              // cite, logprobs, open of an opaque block
    DialectId origin = DialectId::anthropic;  // signature, redacted, cite: whose it is
    int64_t created = 0;
    const Usage *usage = nullptr;
    const Citation *citation = nullptr;  // cite
};

// A whole answer as the events of a stream, for a provider that answers a streaming request
// with one body (block per part, one delta each).
class EventSink;
void replay(const Response &response, EventSink &sink);

class EventSink {
  public:
    virtual void on_event(const StreamEvent &event) = 0;

  protected:
    ~EventSink() = default;
};

}  // namespace ir
}  // namespace llm
