// Answers for clients of legacy completions, whole and as a stream of the same objects. There is
// a text for each choice and nothing else: reasoning and calls have no place, a refusal is text.
//
// Entry points: render_response, make_encoder. Every chunk has the same beginning, which is
// written once.
#include "translators/dialect/completions.hpp"
#include "translators/dialect/json_stream.hpp"
#include "translators/dialect/openai_answer.hpp"

namespace llm::completions {

namespace {

using ir::BlockKind;
using ir::EventKind;
using ir::StreamEvent;
using json::Value;

constexpr std::string_view kIdPrefix = "cmpl-";
constexpr std::string_view kObject = "text_completion";
constexpr size_t kMaxBlocks = 8192;

std::string_view finish_name(ir::Finish finish) {
    // Nobody could answer a call: a turn that ends with one is over.
    bool is_call = finish == ir::Finish::tool_calls;
    return openai::finish_name(is_call ? ir::Finish::stop : finish, false, false);
}

// The members up to `model`, with an object open.
void write_head(JsonText id, JsonText model, int64_t created, const ClientView &view,
                json::Writer &writer) {
    writer.object().key("id");
    if (id.empty()) {
        openai::write_answer_id(view, writer, kIdPrefix);
    } else {
        writer.text(id);
    }
    writer.key("object").plain(kObject);
    writer.key("created").number(created != 0 ? created : view.now);
    writer.key("model");
    if (model.empty()) {
        writer.plain(view.model);
    } else {
        writer.text(model);
    }
}

// Chat's list of tokens in the columns of this dialect. `offset`: characters before the first.
void write_logprobs(Value content, int64_t &offset, json::Writer &writer) {
    auto column = [&](std::string_view name, auto write) {
        writer.key(name).array();
        for (Value entry : content.items()) {
            write(entry);
        }
        writer.end();
    };
    auto number = [&](Value value) { value.is_number() ? writer.raw(value.raw()) : writer.null(); };
    writer.object();
    column("tokens", [&](Value entry) { writer.text(entry["token"].text()); });
    column("token_logprobs", [&](Value entry) { number(entry["logprob"]); });
    column("top_logprobs", [&](Value entry) {
        writer.object();
        for (Value other : entry["top_logprobs"].items()) {
            writer.key(other["token"].text());
            number(other["logprob"]);
        }
        writer.end();
    });
    column("text_offset", [&](Value entry) {
        writer.number(offset);
        offset += openai::count_characters(entry["token"].text());
    });
    writer.end();
}

class CompletionsEncoder final : public Encoder {
  public:
    explicit CompletionsEncoder(const ClientView &view) : view_(view), shown_model_(view.model) {}

    void event(const StreamEvent &event, ByteBuffer &out) override {
        if (is_ended_) {
            return;
        }
        if (event.usage != nullptr && event.usage->known) {
            usage_ = *event.usage;
        }
        switch (event.kind) {
            case EventKind::start:
                start(event.id, event.name, event.created);
                break;
            case EventKind::open:
                open(event);
                break;
            case EventKind::delta:
                if (is_text(event.block) && !event.text.empty()) {
                    begin_chunk(event.choice, event.text, out);
                    out.append(",\"logprobs\":null");
                    end_chunk({}, out);
                }
                break;
            case EventKind::logprobs:
                logprobs(event, out);
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
            case EventKind::signature:
            case EventKind::redacted:
            case EventKind::cite:
            case EventKind::close:
            case EventKind::usage:
            case EventKind::ping:
                break;
        }
    }

    void ping(ByteBuffer &out) override { out.append(kCompletions.ping_frame); }

    void error(const ApiError &error, ByteBuffer &out) override {
        if (!is_ended_) {
            is_ended_ = true;
            kCompletions.render_error_frame(error, out);
        }
    }

  private:
    struct Choice {
        uint32_t index;
        int64_t offset = 0;  // of the next token with a logprob
        bool is_finished = false;
    };

    void start(JsonText id, JsonText model, int64_t created) {
        if (prefix_.size() > 0) {
            return;
        }
        prefix_.append("data: ");
        json::Writer writer(prefix_);
        view_.model = shown_model_;
        write_head(id, model, created, view_, writer);
        writer.key("choices").array();
    }

    Choice &choice(uint32_t index) {
        for (Choice &known : choices_) {
            if (known.index == index) {
                return known;
            }
        }
        choices_.push_back({index});
        return choices_.back();
    }

    void open(const StreamEvent &event) {
        bool is_shown =
            event.block_kind == BlockKind::text || event.block_kind == BlockKind::refusal;
        if (event.block >= texts_.size() && event.block < kMaxBlocks) {
            texts_.resize(event.block + 1);
        }
        if (event.block < texts_.size()) {
            texts_[event.block] = is_shown;
        }
    }

    bool is_text(uint32_t block) const { return block < texts_.size() && texts_[block]; }

    void begin_chunk(uint32_t index, JsonText text, ByteBuffer &out) {
        start({}, {}, 0);
        choice(index);
        out.append(prefix_.view());
        out.append("{\"text\":\"");
        out.append(text.bytes);
        out.append("\",\"index\":");
        json::Writer(out).number(index);
    }

    void end_chunk(std::string_view finish, ByteBuffer &out) {
        out.append(",\"finish_reason\":");
        if (finish.empty()) {
            out.append("null");
        } else {
            json::Writer(out).plain(finish);
        }
        out.append(view_.usage_wanted ? "}],\"usage\":null}\n\n" : "}]}\n\n");
    }

    void logprobs(const StreamEvent &event, ByteBuffer &out) {
        json::Limits limits;
        limits.allow_lone_surrogates = true;
        Result<Value> raw = reader_.parse_unpadded(event.raw.bytes, limits);
        if (!raw || (*raw)["content"].size() == 0) {
            return;
        }
        begin_chunk(event.choice, {}, out);
        out.append(",\"logprobs\":");
        json::Writer writer(out);
        write_logprobs((*raw)["content"], choice(event.choice).offset, writer);
        end_chunk({}, out);
    }

    void finish(const StreamEvent &event, ByteBuffer &out) {
        if (event.finish == ir::Finish::error) {
            ApiError told;
            told.message = {"the provider ended with an error"};
            error(told, out);
            return;
        }
        Choice &owner = choice(event.choice);
        if (!owner.is_finished) {
            owner.is_finished = true;
            begin_chunk(event.choice, {}, out);
            out.append(",\"logprobs\":null");
            end_chunk(finish_name(event.finish), out);
        }
    }

    void end(ByteBuffer &out) {
        is_ended_ = true;
        start({}, {}, 0);
        if (view_.usage_wanted && usage_.known) {
            out.append(prefix_.view());
            out.append("],\"usage\":");
            json::Writer writer(out);
            openai::write_usage(usage_, writer);
            out.append("}\n\n");
        }
        out.append("data: [DONE]\n\n");
    }

    ClientView view_;
    std::string shown_model_;
    ByteBuffer prefix_;  // up to and with `"choices":[`
    std::vector<Choice> choices_;
    std::vector<bool> texts_;  // by block: is it shown
    json::Reader reader_;      // for logprobs
    Usage usage_;
    bool is_ended_ = false;
};

}  // namespace

void render_response(const ir::Response &response, const ClientView &view, Arena &,
                     json::Writer &writer) {
    write_head(response.id, response.model, response.created, view, writer);
    writer.key("choices").array();
    int64_t index = 0;
    json::Reader reader;
    for (const ir::Choice &choice : response.choices) {
        writer.object().key("text").open_text();
        for (const ir::Part &part : choice.parts) {
            if (const auto *text = std::get_if<ir::Text>(&part.is)) {
                writer.piece(text->text);
            } else if (const auto *refusal = std::get_if<ir::Refusal>(&part.is)) {
                writer.piece(refusal->text);
            }
        }
        writer.close_text().key("index").number(index++).key("logprobs");
        json::Limits limits;
        limits.allow_lone_surrogates = true;
        Result<Value> logprobs = reader.parse_unpadded(choice.logprobs.bytes, limits);
        if (logprobs && (*logprobs)["content"].is_array()) {
            int64_t offset = 0;
            write_logprobs((*logprobs)["content"], offset, writer);
        } else {
            writer.null();
        }
        writer.key("finish_reason").plain(finish_name(choice.finish)).end();
    }
    writer.end();
    if (response.usage.known) {
        writer.key("usage");
        openai::write_usage(response.usage, writer);
    }
    writer.end();
}

std::unique_ptr<Encoder> make_encoder(const ClientView &view) {
    return std::make_unique<CompletionsEncoder>(view);
}

}  // namespace llm::completions
