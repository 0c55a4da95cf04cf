// See probe.hpp. Entry: start(); every way ends in end().
#include "ngx_llm_module/upstream/probe.hpp"

#include <algorithm>

#include "ngx_llm_module/route/cooling.hpp"
#include "ngx_llm_module/state/health.hpp"
#include "ngx_llm_module/upstream/outgoing_head.hpp"
#include "translators/provider/path.hpp"

namespace llm {
namespace {

constexpr size_t kMaxAnswer = 256 * 1024;
constexpr ngx_msec_t kKeyParked = 60000;

// A model that thinks says nothing within one token, and some refuse to try.
constexpr std::string_view kOneToken = "1", kFewTokens = "16";

ir::Request question(const ModelTraits &traits) {
    ir::Request request;
    ir::Turn &turn = request.turns.emplace_back();
    turn.parts.push_back({ir::Text{JsonText{"Say yes."}, {}, {}}});
    request.max_tokens.bytes = traits.is_reasoning ? kFewTokens : kOneToken;
    return request;
}

// An answer of the dialect: what it used.
bool read_answer(const Dialect &dialect, json::Value root, Usage &usage) {
    if (dialect.observe_response != nullptr) {
        JsonText model, finish;
        return dialect.observe_response(root, usage, model, finish);
    }
    Arena arena;
    ir::Response response;
    if (!dialect.parse_response(root, arena, response)) {
        return false;
    }
    usage = response.usage;
    return true;
}

}  // namespace

Probe::Probe(const Config &config, const Model &model, const Deployment &deployment, ngx_log_t *log,
             ProbeSink &sink)
    : config_(config),
      model_(model),
      deployment_(deployment),
      provider_(*deployment.provider),
      log_(log),
      sink_(sink) {}

Probe::~Probe() {
    if (CredentialSource *source = worker().credentials(provider_)) {
        source->forget(*this);
    }
}

void Probe::start() {
    if (provider_.is_mock()) {
        play_mock();
        return;
    }
    CredentialSource *source = worker().credentials(provider_);
    if (source == nullptr || source->ready(*this)) {
        send();
    }
}

// In turn; after one that could not be reached, the next.
const Endpoint &Probe::choose_endpoint(const Speech &speech) {
    size_t count = speech.endpoints.size();
    url_ = failed_urls_ > 0 ? url_ + 1 : unsigned(worker().next_id() % count);
    return speech.endpoints[url_ % count];
}

Status Probe::build(OutgoingRequest &out) {
    const Speech &speech = provider_.speeches.front();
    const Endpoint &endpoint = choose_endpoint(speech);
    out.endpoint = &endpoint;
    Call call{provider_, speech, endpoint};
    if (provider_.api_keys.size() > 1) {
        call.key = key_ = choose_key(config_, deployment_, failed_keys_);
    }
    if (model_.probe.wants_list) {
        return build_head(call, "GET", speech.list_path(), {}, out);
    }
    Arena arena;
    Notes notes;
    Target target = target_of(deployment_, deployment_.model, speech, arena);
    target.drop_params = true;
    ByteBuffer rendered;
    json::Writer writer(rendered);
    LLM_TRY(speech.dialect->render_request(question(target.traits), target, arena, writer, notes));
    put_made_body(std::move(rendered), provider_, out);
    return build_head(call, "POST", fill_model(speech.chat_path, deployment_.model), body_size(out),
                      out);
}

void Probe::send() {
    OutgoingRequest outgoing;
    if (Status built = build(outgoing); !built) {
        bool is_account = built.error().code == Errc::internal;
        fail(is_account ? ErrorClass::authentication : ErrorClass::unsupported,
             is_account ? Failure::no_credentials : Failure::unsupported, built.error().what);
        return;
    }
    NetContext context;
    context.log = log_;
    context.resolver = config_.resolver;
    Timeouts own = deployment_.timeouts.over(model_.timeouts)
                       .over(provider_.timeouts)
                       .over(config_.http_timeouts);
    ngx_msec_t limit = model_.probe.timeout;
    context.timeouts = {std::min(own.connect, limit), std::min(own.first_token, limit), limit,
                        limit};
    context.may_reuse = std::exchange(may_reuse_, true);
    answer_.clear();
    status_ = 0;
    retry_after_ = -1;
    is_compressed_ = false;
    AnswerSink &sink = *this;
    exchange_ = std::make_unique<NetAttempt>(context, std::move(outgoing), sink);
    exchange_->start();
}

// As the deployment's script would end, without its pauses.
void Probe::play_mock() {
    const MockScript &script = deployment_.mock;
    if (script.status >= 400) {
        status_ = unsigned(script.status);
        ErrorClass error_class = class_of_status(uint16_t(script.status));
        fail(error_class, failure_of(error_class));
    } else if (script.delay > model_.probe.timeout) {
        on_broken(Broken::first_token_timeout);
    } else if (script.cut_after >= 0 &&
               (script.chunks == 0 || ngx_uint_t(script.cut_after) < script.chunks)) {
        on_broken(Broken::cut);
    } else {
        end({});
    }
}

bool Probe::on_head(const wire::HttpHead &head) {
    status_ = head.status();
    retry_after_ = stated_wait(head.find("retry-after"));
    std::string_view coding = head.find("content-encoding");
    is_compressed_ = !coding.empty() && !wire::same_name(coding, "identity");
    return true;
}

// Of a list nothing is kept: its status says enough.
bool Probe::on_body(std::string_view bytes) {
    if (is_compressed_ || (status_ < 300 && model_.probe.wants_list)) {
        return true;
    }
    if (status_ < 300 && bytes.size() > kMaxAnswer - answer_.size()) {
        on_broken(Broken::malformed);
        return false;
    }
    answer_.append(bytes.substr(0, kMaxAnswer - answer_.size()));
    return true;
}

void Probe::on_end() {
    exchange_->finish();
    judge_answer();
}

void Probe::judge_answer() {
    Result<json::Value> root = worker().parse_unpadded(answer_);
    Arena arena;
    if (status_ < 200 || status_ > 299) {
        ApiError error = read_error(
            uint16_t(status_), root && !is_compressed_ ? *root : json::Value(), answer_, arena);
        fail(error.error_class, failure_of(error.error_class));
        return;
    }
    ProbeResult result;
    result.status = status_;
    if (!is_compressed_ && !model_.probe.wants_list) {
        Usage usage;
        if (!root || !root->is_object()) {
            on_broken(Broken::malformed);
            return;
        }
        if (!read_answer(*provider_.speeches.front().dialect, *root, usage)) {
            // An error in the clothes of a success?
            ErrorClass error_class = root->find("error").is_unset()
                                         ? ErrorClass::upstream_protocol
                                         : read_error(0, *root, answer_, arena).error_class;
            fail(error_class, failure_of(error_class));
            return;
        }
        result.tokens = usage.total();
    }
    end(result);
}

void Probe::on_broken(Broken why) {
    if (status_ >= 300) {
        judge_answer();  // its status says enough
        return;
    }
    fail(class_of(why), failure_of(why), describe(why));
}

// An idle connection was dead: the same again on a new one.
void Probe::on_stale() {
    exchange_.reset();
    may_reuse_ = false;
    send();
}

// The key or the address of the provider is at fault, and it has another one.
bool Probe::try_other_way(Failure failure) {
    size_t keys = provider_.api_keys.size();
    if (rule_of(failure).parks_key && keys > 1 && key_ < 32) {
        park_key(config_, deployment_.slot, key_, kKeyParked);
        failed_keys_ |= uint32_t(1) << key_;
        uint32_t all = keys >= 32 ? UINT32_MAX : (uint32_t(1) << keys) - 1;
        if ((failed_keys_ & all) != all) {
            return true;
        }
    }
    if (failure == Failure::unreachable &&
        failed_urls_ + 1 < provider_.speeches.front().endpoints.size()) {
        failed_urls_++;
        return true;
    }
    return false;
}

void Probe::fail(ErrorClass error_class, Failure failure, std::string_view why) {
    CredentialSource *source = worker().credentials(provider_);
    if (source != nullptr && failure == Failure::authentication) {
        source->reject();
    }
    if (!provider_.is_mock() && try_other_way(failure)) {
        exchange_.reset();
        send();
        return;
    }
    const FailureRule &rule = rule_of(failure);
    bool is_no_list = model_.probe.wants_list && (failure == Failure::not_found || !rule.elsewhere);
    ProbeResult result;
    // Who finds fault with the question itself is there to answer.
    result.kind = is_no_list                   ? ProbeResult::Kind::unclear
                  : !rule.elsewhere            ? ProbeResult::Kind::well
                  : rule.cools == Cools::never ? ProbeResult::Kind::unclear
                                               : ProbeResult::Kind::failed;
    result.failure = failure;
    result.error = spelling(error_class).name;
    result.why = why;
    result.status = status_;
    result.retry_after = retry_after_;
    end(result);
}

void Probe::end(const ProbeResult &result) {
    sink_.on_probed(deployment_, result);  // this object is gone
}

}  // namespace llm
