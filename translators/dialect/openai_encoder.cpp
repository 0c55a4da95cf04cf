// ir events -> chat completion chunks for the client.
//
// Entry point: make_encoder. Every chunk carries the same id, model and creation time, so all
// that precedes the choices is written once, at the start, and copied from then on; an event costs
// that copy and its own text. Calls are numbered by choice in order of opening, whatever the
// provider's numbers were. `finish_reason` goes out when the choice finishes, usage (when the
// client asked for it, with "usage":null on every chunk before) at the end, then [DONE]. After an
// error nothing follows, no [DONE] either: the answer must not look complete.
#include <algorithm>

#include "translators/dialect/custom_input.hpp"
#include "translators/dialect/json_stream.hpp"
#include "translators/dialect/openai.hpp"
#include "translators/dialect/openai_answer.hpp"

namespace llm::openai {

namespace {

using ir::BlockKind;
using ir::EventKind;
using ir::StreamEvent;

constexpr size_t kMaxAnnotations = 256u << 10;  // bytes of one choice, and of one block
constexpr size_t kMaxThoughts = 4u << 20;       // signed thoughts of one choice, with their texts

// Kept until the block ends: as chat wrote it, or in common terms.
struct Cite {
    std::string raw;
    std::string url;
    std::string title;
    int64_t start;
    int64_t end;
};

struct Block {
    uint32_t number;
    uint32_t choice;
    BlockKind kind;
    int64_t tool = 0;  // ordinal of the call in its choice
    bool has_text = false;
    bool is_output = false;                   // text that came as the arguments of kJsonTool
    bool is_custom = false;                   // the client's free text tool
    std::unique_ptr<CustomInput> input = {};  // which the provider knows as a function
    std::string thought = {};    // reasoning: its text so far, for the day that it is signed
    std::string signature = {};  // may come in pieces
    DialectId origin = DialectId::openai;
    int64_t first_character = 0;  // of a text block in the text of its choice
    std::vector<Cite> cites;
    size_t cited_bytes = 0;
};

struct ChoiceState {
    uint32_t index;
    int64_t tools = 0;
    int64_t images = 0;
    int64_t characters = 0;
    bool is_finished = false;
    bool has_lost_thoughts = false;
    ByteBuffer annotations;
    ByteBuffer thoughts;  // signed ones, as elements of thinking_blocks
};

class ChatEncoder final : public Encoder {
  public:
    explicit ChatEncoder(const ClientView &view) : view_(view), shown_model_(view.model) {}

    void event(const StreamEvent &event, ByteBuffer &out) override;
    void ping(ByteBuffer &out) override { out.append(kOpenAi.ping_frame); }
    void error(const ApiError &error, ByteBuffer &out) override;

  private:
    void start(const StreamEvent &event);
    void open(const StreamEvent &event, ByteBuffer &out);
    void delta(const StreamEvent &event, ByteBuffer &out);
    void arguments(Block &block, JsonText fragment, ByteBuffer &out);
    void custom_input(Block &block, JsonText fragment, ByteBuffer &out);
    void sign(const StreamEvent &event, ByteBuffer &out);
    void keep_thought(const Block &block);
    void add_thought(ChoiceState &owner, DialectId origin, bool is_redacted, JsonText text,
                     JsonText opaque);
    void cite(const StreamEvent &event);
    void close(const StreamEvent &event, ByteBuffer &out);
    void finish(const StreamEvent &event, ByteBuffer &out);
    void end(ByteBuffer &out);

    ChoiceState &choice(uint32_t index, ByteBuffer &out);
    Block *find(uint32_t number);
    void head(uint32_t choice, ByteBuffer &out);
    void tail(std::string_view finish, ByteBuffer &out);
    void simple(uint32_t choice, std::string_view member, JsonText text, ByteBuffer &out);
    void number(int64_t value, ByteBuffer &out) { json::Writer(out).number(value); }

    ClientView view_;
    std::string shown_model_;
    ByteBuffer prefix_;  // up to and with `"choices":[`
    std::vector<ChoiceState> choices_;
    std::vector<Block> blocks_;  // the open ones
    json::Reader reader_;        // for the input of free text tools
    ByteBuffer scratch_;
    Usage usage_;
    bool is_ended_ = false;
};

void ChatEncoder::event(const StreamEvent &event, ByteBuffer &out) {
    if (is_ended_) {
        return;
    }
    if (prefix_.size() == 0 && event.kind != EventKind::error && event.kind != EventKind::ping) {
        start(event);
    }
    if (event.usage != nullptr && event.usage->known) {
        usage_ = *event.usage;
    }
    switch (event.kind) {
        case EventKind::start:
            choice(0, out);
            break;
        case EventKind::open:
            open(event, out);
            break;
        case EventKind::delta:
            delta(event, out);
            break;
        case EventKind::signature:
            sign(event, out);
            break;
        case EventKind::redacted:
            if (view_.show_reasoning && !event.text.empty()) {
                add_thought(choice(event.choice, out), event.origin, true, {}, event.text);
            }
            break;
        case EventKind::cite:
            cite(event);
            break;
        case EventKind::close:
            close(event, out);
            break;
        case EventKind::logprobs:
            choice(event.choice, out);
            out.append(prefix_.view());
            out.append("{\"index\":");
            number(event.choice, out);
            out.append(",\"delta\":{},\"logprobs\":");
            out.append(event.raw.bytes);
            tail({}, out);
            break;
        case EventKind::finish:
            finish(event, out);
            break;
        case EventKind::end:
            end(out);
            break;
        case EventKind::error:
            error(error_of(event), out);
            break;
        case EventKind::usage:
        case EventKind::ping:
            break;
    }
}

void ChatEncoder::error(const ApiError &error, ByteBuffer &out) {
    if (!is_ended_) {
        is_ended_ = true;
        render_error_frame(error, out);
    }
}

// --- chunks ---------------------------------------------------------------------------------

void ChatEncoder::start(const StreamEvent &event) {
    bool is_start = event.kind == EventKind::start;
    prefix_.append("data: ");
    json::Writer writer(prefix_);
    writer.object().key("id");
    if (is_start && !event.id.empty()) {
        writer.text(event.id);
    } else {
        write_answer_id(view_, writer);
    }
    writer.key("object").plain("chat.completion.chunk");
    writer.key("created").number(is_start && event.created != 0 ? event.created : view_.now);
    writer.key("model");
    if (is_start && !event.name.empty()) {
        writer.text(event.name);
    } else {
        writer.plain(shown_model_);
    }
    writer.key("system_fingerprint").null();
    writer.key("choices").array();
}

void ChatEncoder::head(uint32_t choice, ByteBuffer &out) {
    out.append(prefix_.view());
    if (choice == 0) {
        out.append("{\"index\":0,\"delta\":{");
        return;
    }
    out.append("{\"index\":");
    number(choice, out);
    out.append(",\"delta\":{");
}

// What follows `"logprobs":value`.
void ChatEncoder::tail(std::string_view finish, ByteBuffer &out) {
    if (finish.empty()) {
        out.append(view_.usage_wanted ? ",\"finish_reason\":null}],\"usage\":null}\n\n"
                                      : ",\"finish_reason\":null}]}\n\n");
        return;
    }
    out.append(",\"finish_reason\":\"");
    out.append(finish);
    out.append(view_.usage_wanted ? "\"}],\"usage\":null}\n\n" : "\"}]}\n\n");
}

// A delta of one string member; `member` is `"name":"`.
void ChatEncoder::simple(uint32_t index, std::string_view member, JsonText text, ByteBuffer &out) {
    head(index, out);
    out.append(member);
    out.append(text.bytes);
    out.append("\"},\"logprobs\":null");
    tail({}, out);
}

// The state of a choice; its role chunk goes out when it is first heard of.
ChoiceState &ChatEncoder::choice(uint32_t index, ByteBuffer &out) {
    for (ChoiceState &known : choices_) {
        if (known.index == index) {
            return known;
        }
    }
    head(index, out);
    out.append("\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},\"logprobs\":null");
    tail({}, out);
    choices_.emplace_back().index = index;
    return choices_.back();
}

Block *ChatEncoder::find(uint32_t number) {
    for (Block &block : blocks_) {
        if (block.number == number) {
            return &block;
        }
    }
    return nullptr;
}

// --- blocks ---------------------------------------------------------------------------------

void ChatEncoder::open(const StreamEvent &event, ByteBuffer &out) {
    ChoiceState &owner = choice(event.choice, out);
    Block &block = blocks_.emplace_back(Block{event.block, event.choice, event.block_kind});
    block.first_character = owner.characters;
    if (event.block_kind == BlockKind::image) {
        head(event.choice, out);
        out.append("\"images\":[");
        json::Writer writer(out);
        write_image(owner.images++, event.name, event.text, writer);
        out.append("]},\"logprobs\":null");
        tail({}, out);
    }
    if (event.block_kind != BlockKind::tool) {
        return;
    }
    if (view_.json_tool && json::equals(event.name, kJsonTool)) {
        block.kind = BlockKind::text;
        block.is_output = true;
        return;
    }
    block.tool = owner.tools++;
    if (view_.legacy_functions && block.tool > 0) {
        return;  // the old form has room for one
    }
    JsonText name = tool_name_for_client(event.name, view_.renamed);
    block.is_custom = !view_.legacy_functions && (event.is_custom || is_custom_tool(view_, name));
    if (block.is_custom && !event.is_custom) {
        block.input = std::make_unique<CustomInput>();
    }
    head(event.choice, out);
    if (view_.legacy_functions) {
        out.append("\"function_call\":{\"name\":\"");
        out.append(name.bytes);
        out.append("\",\"arguments\":\"\"}},\"logprobs\":null");
    } else {
        out.append("\"tool_calls\":[{\"index\":");
        number(block.tool, out);
        out.append(",\"id\":\"");
        out.append(event.id.bytes);
        out.append(block.is_custom ? "\",\"type\":\"custom\",\"custom\":{\"name\":\""
                                   : "\",\"type\":\"function\",\"function\":{\"name\":\"");
        out.append(name.bytes);
        out.append(block.is_custom ? "\",\"input\":\"\"}}]},\"logprobs\":null"
                                   : "\",\"arguments\":\"\"}}]},\"logprobs\":null");
    }
    tail({}, out);
}

void ChatEncoder::delta(const StreamEvent &event, ByteBuffer &out) {
    Block *block = find(event.block);
    if (block == nullptr || event.text.empty()) {
        return;
    }
    block->has_text =
        block->has_text || block->kind != BlockKind::tool || !json::is_blank(event.text);
    switch (block->kind) {
        case BlockKind::text:
            // Only citations need the count, and one may come at any time.
            choice(event.choice, out).characters += count_characters(event.text);
            simple(event.choice, "\"content\":\"", event.text, out);
            break;
        case BlockKind::reasoning:
            if (view_.show_reasoning) {
                simple(event.choice, "\"reasoning_content\":\"", event.text, out);
                if (block->thought.size() <= kMaxThoughts) {
                    block->thought.append(event.text.bytes);
                }
            }
            break;
        case BlockKind::refusal:
            simple(event.choice, "\"refusal\":\"", event.text, out);
            break;
        case BlockKind::tool:
            if (block->is_custom) {
                custom_input(*block, event.text, out);
            } else {
                arguments(*block, event.text, out);
            }
            break;
        case BlockKind::image:
        case BlockKind::opaque:
            break;
    }
}

void ChatEncoder::arguments(Block &block, JsonText fragment, ByteBuffer &out) {
    if (view_.legacy_functions && block.tool > 0) {
        return;
    }
    head(block.choice, out);
    if (view_.legacy_functions) {
        out.append("\"function_call\":{\"arguments\":\"");
        out.append(fragment.bytes);
        out.append("\"}},\"logprobs\":null");
    } else {
        out.append("\"tool_calls\":[{\"index\":");
        number(block.tool, out);
        out.append(",\"function\":{\"arguments\":\"");
        out.append(fragment.bytes);
        out.append("\"}}]},\"logprobs\":null");
    }
    tail({}, out);
}

// A fragment of the text, or of the arguments that it comes in; an empty one: these are whole.
void ChatEncoder::custom_input(Block &block, JsonText fragment, ByteBuffer &out) {
    if (block.input != nullptr) {
        scratch_.clear();
        if (fragment.empty()) {
            block.input->finish(reader_, scratch_);
        } else if (!block.input->feed(fragment, scratch_)) {
            error(
                ApiError{
                    ir::ErrorClass::upstream_protocol, 0, {"the input of a tool is too large"}},
                out);
            return;
        }
        fragment = {scratch_.view()};
    }
    if (fragment.empty()) {
        return;
    }
    head(block.choice, out);
    out.append("\"tool_calls\":[{\"index\":");
    number(block.tool, out);
    out.append(",\"custom\":{\"input\":\"");
    out.append(fragment.bytes);
    out.append("\"}}]},\"logprobs\":null");
    tail({}, out);
}

// The text of the block went out as reasoning_content: the client puts both together again.
void ChatEncoder::sign(const StreamEvent &event, ByteBuffer &out) {
    Block *block = find(event.block);
    if (block == nullptr || !view_.show_reasoning) {
        return;
    }
    (void)choice(event.choice, out);
    block->origin = event.origin;
    if (block->signature.size() <= kMaxThoughts) {
        block->signature.append(event.text.bytes);
    }
}

void ChatEncoder::keep_thought(const Block &block) {
    if (block.signature.empty()) {
        return;
    }
    for (ChoiceState &owner : choices_) {
        if (owner.index == block.choice) {
            add_thought(owner, block.origin, false, {block.thought}, {block.signature});
        }
    }
}

// They go out all at once, in front of the finish: the SDKs put members that they do not know
// together in ways of their own (the last one stays, or lists must carry an index), and a
// signature beside a part of its text is worth nothing. All or none.
void ChatEncoder::add_thought(ChoiceState &owner, DialectId origin, bool is_redacted, JsonText text,
                              JsonText opaque) {
    size_t size = owner.thoughts.size() + text.bytes.size() + opaque.bytes.size();
    if (size > kMaxThoughts || owner.has_lost_thoughts) {
        owner.has_lost_thoughts = true;
        return;
    }
    owner.thoughts.append(owner.thoughts.size() > 0 ? "," : "");
    json::Writer writer(owner.thoughts);
    write_thinking_block(origin, is_redacted, text, opaque, writer);
}

// Where the text of a block ends is known when it is closed.
void ChatEncoder::cite(const StreamEvent &event) {
    Block *block = find(event.block);
    bool is_own = event.origin == DialectId::openai && !event.raw.empty();
    if (block == nullptr ||
        (!is_own && (event.citation == nullptr || event.citation->url.empty()))) {
        return;
    }
    size_t size = sizeof(Cite);
    size += is_own ? event.raw.bytes.size()
                   : event.citation->url.bytes.size() + event.citation->title.bytes.size();
    if (block->cited_bytes + size >= kMaxAnnotations) {
        return;
    }
    block->cited_bytes += size;
    Cite &kept = block->cites.emplace_back();
    if (is_own) {
        kept.raw = event.raw.bytes;
        return;
    }
    kept.url = event.citation->url.bytes;
    kept.title = event.citation->title.bytes;
    kept.start = event.citation->start;
    kept.end = event.citation->end;
}

void ChatEncoder::close(const StreamEvent &event, ByteBuffer &out) {
    Block *block = find(event.block);
    if (block == nullptr) {
        return;
    }
    if (block->is_custom) {
        custom_input(*block, {}, out);
    } else if (block->kind == BlockKind::tool && !block->has_text) {
        arguments(*block, {"{}"}, out);  // blank is no JSON, and clients parse it
    }
    if (block->is_output && !block->has_text) {
        simple(block->choice, "\"content\":\"", {"{}"}, out);
    }
    ChoiceState &owner = choice(block->choice, out);
    keep_thought(*block);
    AnnotationWriter annotations(owner.annotations);
    for (const Cite &cite : block->cites) {
        if (owner.annotations.size() > kMaxAnnotations) {
            break;
        }
        if (!cite.raw.empty()) {
            annotations.raw({cite.raw});
        } else {
            annotations.add({{cite.url}, {cite.title}, {}, cite.start, cite.end},
                            block->first_character, owner.characters);
        }
    }
    blocks_.erase(blocks_.begin() + (block - blocks_.data()));
}

// --- the end --------------------------------------------------------------------------------

void ChatEncoder::finish(const StreamEvent &event, ByteBuffer &out) {
    ChoiceState &owner = choice(event.choice, out);
    if (owner.is_finished) {
        return;
    }
    if (event.finish == ir::Finish::error) {
        error(ApiError{ir::ErrorClass::upstream, 0, {"the provider ended with an error"}}, out);
        return;
    }
    owner.is_finished = true;
    for (const Block &block : blocks_) {
        if (block.choice == event.choice) {
            keep_thought(block);  // nobody closed it
        }
    }
    if (owner.thoughts.size() > 0 && !owner.has_lost_thoughts) {
        head(event.choice, out);
        out.append("\"thinking_blocks\":[");
        out.append(owner.thoughts.view());
        out.append("]},\"logprobs\":null");
        tail({}, out);
    }
    if (owner.annotations.size() > 0) {
        head(event.choice, out);
        out.append("\"annotations\":[");
        out.append(owner.annotations.view());
        out.append("]},\"logprobs\":null");
        tail({}, out);
    }
    bool is_output = view_.json_tool && owner.tools == 0;
    ir::Finish reason =
        is_output && event.finish == ir::Finish::tool_calls ? ir::Finish::stop : event.finish;
    std::string_view name = finish_name(reason, owner.tools > 0, view_.legacy_functions);
    head(event.choice, out);
    out.append("},\"logprobs\":null");
    if (!event.native.empty() && !json::equals(event.native, name)) {
        out.append(",\"native_finish_reason\":\"");
        out.append(event.native.bytes);
        out.append('"');
    }
    tail(name, out);
}

void ChatEncoder::end(ByteBuffer &out) {
    is_ended_ = true;
    if (view_.usage_wanted && usage_.known) {
        out.append(prefix_.view());
        out.append("],\"usage\":");
        json::Writer writer(out);
        write_usage(usage_, writer);
        out.append("}\n\n");
    }
    out.append("data: [DONE]\n\n");
}

}  // namespace

std::unique_ptr<Encoder> make_encoder(const ClientView &view) {
    return std::make_unique<ChatEncoder>(view);
}

}  // namespace llm::openai
