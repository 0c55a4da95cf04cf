// ir::Request -> the body of POST /messages. Members are written in one fixed order, prompt parts
// in the order in which the API caches them (tools, system, messages), so that equal histories give
// equal bytes. What cannot be said is left out and named when it is a hint, and refused when it
// would change the answer (unless the target drops parameters).
#include <utility>

#include "translators/dialect/anthropic_beta.hpp"
#include "translators/dialect/anthropic_plan.hpp"
#include "translators/dialect/anthropic_schema.hpp"
#include "translators/dialect/anthropic_tools.hpp"

namespace llm::anthropic {

namespace {

constexpr uint32_t kMaxMarks = 4;
class Renderer {
  public:
    Renderer(const ir::Request &request, const Target &target, Arena &arena, json::Writer &writer,
             Notes &notes)
        : request_(request),
          target_(target),
          traits_(target.traits),
          arena_(arena),
          writer_(writer),
          notes_(notes),
          tools_(request, target, arena, notes) {}

    Status render() {
        LLM_TRY(refuse_what_is_lacking(request_, target_, notes_));
        LLM_TRY(plan());

        writer_.object();
        carrier();
        writer_.key("max_tokens").number(plan_.max_tokens);
        if (request_.stream && target_.carrier != Carrier::bedrock) {
            writer_.key("stream").boolean(true);
        }
        sampling();
        stop();
        thinking();
        output();
        caller();
        extras();
        prompt();
        return {};
    }

    // The same prompt, without what only an answer needs.
    Status render_count() {
        LLM_TRY(plan());
        writer_.object();
        carrier();
        if (target_.carrier == Carrier::vertex) {
            writer_.key("model").plain(target_.model);  // the path is that of the counter
        } else if (target_.carrier == Carrier::bedrock) {
            writer_.key("max_tokens").number(1);  // counted is a whole request
        }
        thinking();
        output();
        prompt();
        return {};
    }

  private:
    Status plan() {
        if (!is_own()) {
            LLM_TRY(note_extras(request_, target_, arena_, notes_));
        }
        LLM_TRY(tools_.select(takes_built_in));
        plan_output();
        LLM_TRY(build_history(request_, target_, arena_, notes_, history_));
        plan_ = plan_thinking(request_, traits_, tools_.is_forced() || history_.forbids_thinking,
                              notes_);
        plan_system();
        plan_marks();
        return {};
    }

    void prompt() {
        tools_.write(marks_, writer_);
        tools_.write_choice(writer_);
        system();
        writer_.key("messages");
        write_messages(history_, {request_, target_, arena_, notes_, marks_}, writer_);
        writer_.end();
    }

    bool is_own() const { return request_.dialect == DialectId::anthropic; }

    // What other carriers have in place of the model's name.
    void carrier() {
        if (std::string_view version = version_of(target_.carrier); !version.empty()) {
            writer_.key("anthropic_version").plain(version);
            write_beta_flags(target_, writer_);
        } else {
            writer_.key("model").plain(target_.model);
        }
    }

    void extras() {
        if (!is_own()) {
            return;
        }
        for (const ir::Extra &extra : request_.extra) {
            std::string_view name = json::unescape(extra.name, arena_);
            if (belongs_to_carrier(name, target_)) {
                continue;
            }
            if (!takes_member(name, target_)) {
                notes_.drop(name);
                continue;
            }
            writer_.key(extra.name).raw(extra.value);
        }
    }

    // --- structured output ------------------------------------------------------------------

    void plan_output() {
        const ir::OutputFormat &format = request_.output;
        has_schema_ = format.kind == ir::OutputKind::json_schema && is_set(format.schema);
        wants_object_ = format.kind != ir::OutputKind::text && !has_schema_;
        notes_.json_tool = has_schema_ && !traits_.structured_output;
    }

    void output() {
        bool has_format = has_schema_ && !notes_.json_tool;
        if (!has_format && !plan_.effort) {
            return;
        }
        writer_.key("output_config").object();
        if (plan_.effort) {
            writer_.key("effort").plain(effort_name(*plan_.effort, traits_.effort_xhigh));
        }
        if (has_format) {
            const ir::OutputFormat &format = request_.output;
            writer_.key("format").object().key("type").plain("json_schema").key("schema");
            Result<json::Value> schema = reader_.parse_unpadded(format.schema.bytes);
            if (schema && !is_own()) {
                writer_.raw(rewrite_schema(*schema, format.description, arena_));
            } else {
                writer_.raw(format.schema);
            }
            writer_.end();
        }
        writer_.end();
    }

    // --- thinking ---------------------------------------------------------------------------

    void thinking() { write_thinking(plan_, request_, writer_); }

    // --- plain members ----------------------------------------------------------------------

    void sampling() {
        Sampling sampling = plan_sampling(request_, traits_, plan_.is_on(), notes_);
        for (auto [name, value] : {std::pair("temperature", sampling.temperature),
                                   {"top_p", sampling.top_p},
                                   {"top_k", sampling.top_k}}) {
            if (!value.empty()) {
                writer_.key(name).raw(value);
            }
        }
    }

    void stop() {
        bool is_open = false;
        for (JsonText sequence : request_.stop) {
            if (json::is_blank(sequence)) {
                if (!sequence.empty()) {
                    notes_.drop(is_own() ? "stop_sequences" : "stop");
                }
                continue;
            }
            if (!is_open) {
                writer_.key("stop_sequences").array();
                is_open = true;
            }
            writer_.text(sequence);
        }
        if (is_open) {
            writer_.end();
        }
    }

    // Who asks, and how urgently.
    void caller() {
        JsonText user = request_.user;
        for (const ir::Extra &extra : request_.extra) {
            std::string_view raw = extra.value.bytes;
            bool is_string = raw.size() > 2 && raw.front() == '"';
            if (user.empty() && !is_own() && is_string &&
                json::equals(extra.name, "safety_identifier")) {
                user = {raw.substr(1, raw.size() - 2)};
            }
        }
        if (is_own() && !request_.metadata.empty()) {
            writer_.key("metadata").raw(request_.metadata);
        } else {
            if (is_set(request_.metadata)) {
                notes_.drop("metadata");
            }
            if (!user.empty()) {
                writer_.key("metadata").object().key("user_id").text(user).end();
            }
        }
        JsonText tier = request_.service_tier;
        if (!tier.empty() && !takes_member("service_tier", target_)) {
            notes_.drop("service_tier");
        } else if (json::equals(tier, "auto")) {
            writer_.key("service_tier").plain("auto");
        } else if (json::equals(tier, "default") || json::equals(tier, "standard_only")) {
            writer_.key("service_tier").plain("standard_only");
        } else if (!tier.empty()) {
            notes_.drop("service_tier");
        }
        if (has_top_mark()) {
            writer_.key("cache_control").raw(request_.cache);
        } else if (!request_.cache.empty()) {
            notes_.drop("cache_control");
        }
    }

    // --- system -----------------------------------------------------------------------------

    void plan_system() {
        for (const ir::Text &text : request_.system) {
            if (!json::is_blank(text.text)) {
                system_.push_back(text);
            } else if (!system_.empty() && system_.back().cache.empty()) {
                system_.back().cache = text.cache;
            }
        }
        if (wants_object_) {
            system_.push_back({{kJsonObjectLine}, {}, {}});
        }
        if (notes_.json_tool && !tools_.selected().empty()) {
            system_.push_back({{kJsonToolLine}, {}, {}});
        }
    }

    void system() {
        if (system_.empty()) {
            return;
        }
        writer_.key("system");
        if (system_.size() == 1 && system_.front().cache.empty()) {
            writer_.text(system_.front().text);
            return;
        }
        writer_.array();
        for (const ir::Text &text : system_) {
            writer_.object().key("type").plain("text").key("text").text(text.text);
            marks_.write(text.cache, writer_);
            writer_.end();
        }
        writer_.end();
    }

    bool has_top_mark() const {
        return !request_.cache.empty() && takes_member("cache_control", target_);
    }

    // At most four marks; the last ones of the prompt are kept.
    void plan_marks() {
        uint32_t count = count_marks(history_) + (has_top_mark() ? 1 : 0);
        for (const ir::Tool *tool : tools_.selected()) {
            count += tool->cache.empty() ? 0 : 1;
        }
        for (const ir::Text &text : system_) {
            count += text.cache.empty() ? 0 : 1;
        }
        marks_.skip = count > kMaxMarks ? count - kMaxMarks : 0;
        marks_.target = &target_;
    }

    const ir::Request &request_;
    const Target &target_;
    const ModelTraits &traits_;
    Arena &arena_;
    json::Writer &writer_;
    Notes &notes_;

    json::Reader reader_;
    History history_;
    ToolRenderer tools_;
    std::vector<ir::Text> system_;
    CacheMarks marks_;
    ThinkingPlan plan_;
    bool has_schema_ = false;
    bool wants_object_ = false;
};

}  // namespace

Status render_request(const ir::Request &request, const Target &target, Arena &arena,
                      json::Writer &writer, Notes &notes) {
    return Renderer(request, target, arena, writer, notes).render();
}

Status render_count(const ir::Request &request, const Target &target, Arena &arena,
                    json::Writer &writer, Notes &notes) {
    return Renderer(request, target, arena, writer, notes).render_count();
}

std::optional<int64_t> parse_count(json::Value root) {
    json::Value count = root["input_tokens"];
    std::optional<int64_t> tokens = (count.is_unset() ? root["inputTokens"] : count).as_int();
    return tokens && *tokens >= 0 ? tokens : std::nullopt;
}

void render_counted(int64_t tokens, json::Writer &writer) {
    writer.object().key("input_tokens").number(tokens).end();
}

}  // namespace llm::anthropic
