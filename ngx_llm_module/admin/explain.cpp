// POST /explain: what would be done with the request in the body, and nobody is asked. The request
// goes through the stages up to routing; what they refuse is answered as they say it. Limits are
// read, nothing is taken; credentials of providers are never shown.
//
// ?path= is the client's path (/v1/chat/completions), ?key= the alias, the hash or the text of a
// virtual key; without it the master key asks.
#include <optional>

#include "ngx_llm_module/admin/admin.hpp"
#include "ngx_llm_module/admin/resource.hpp"
#include "ngx_llm_module/base/pool.hpp"
#include "ngx_llm_module/policy/demand_name.hpp"
#include "ngx_llm_module/policy/identify.hpp"
#include "ngx_llm_module/policy/model_access.hpp"
#include "ngx_llm_module/policy/redis_counter.hpp"
#include "ngx_llm_module/policy/zone_counter.hpp"
#include "ngx_llm_module/redis/client.hpp"
#include "ngx_llm_module/redis/pack.hpp"
#include "ngx_llm_module/request/endpoints.hpp"
#include "ngx_llm_module/request/pricing.hpp"
#include "ngx_llm_module/request/reply.hpp"
#include "ngx_llm_module/state/health.hpp"
#include "ngx_llm_module/upstream/outgoing_path.hpp"
#include "translators/pricing/cost.hpp"

namespace llm {
namespace {

// Of a key of the configuration or of one that was made at run time; as given where it is neither.
std::string hash_of_alias(const Config &config, const std::string &given) {
    for (const auto &[hash, key] : config.keys) {
        if (key->alias == given) {
            return hash;
        }
    }
    std::string found;
    for_each_with(config, RecordKind::key, "key_alias", given,
                  [&](const std::string &id, const std::string &json, uint64_t) {
                      KeyRecord key;
                      if (read_stored(json, id, key) && key.alias == given) {
                          found = id;
                      }
                  });
    return found.empty() ? hash_of_key(given) : found;
}

std::string_view name_of(FallbackKind kind) {
    return kind == FallbackKind::context   ? "context_window"
           : kind == FallbackKind::content ? "content_policy"
                                           : "failure";
}

std::string_view name_of(Availability state) {
    return state == Availability::open       ? "open"
           : state == Availability::on_trial ? "on trial"
                                             : "cooling";
}

// What is used of each demand; empty: Redis could not be asked.
using UsedList = std::vector<int64_t>;

class Explanation {
  public:
    Explanation(LlmRequest &request, const Demands &demands, const UsedList &used,
                json::Writer &writer)
        : request_(request), demands_(demands), used_(used), w_(writer) {}

    void write();

  private:
    void write_key();
    void write_deployment(size_t index);
    void write_request(const Candidate &candidate);
    void write_passed_over();
    void write_fallbacks();
    void write_limit(const Demand &demand, std::optional<int64_t> used);
    void write_limits();

    LlmRequest &request_;
    const Demands &demands_;
    const UsedList &used_;
    json::Writer &w_;
};

void Explanation::write_key() {
    const Identity &identity = request_.identity;
    w_.key("key").object();
    if (identity.key != nullptr) {
        w_.key("token").plain(identity.key->hash);
        w_.key("alias").plain(identity.key->alias);
        w_.key("team_id").plain(identity.key->team);
        w_.key("user_id").plain(identity.key->user);
    } else {
        w_.key("alias").plain("master");
    }
    w_.end();
}

// The body that it would get, and what of the client's stays behind.
void Explanation::write_request(const Candidate &candidate) {
    OutgoingRequest out;
    request_.notes = Notes();
    Status built = build_request(request_, candidate, out);
    if (out.endpoint != nullptr) {
        const Endpoint &endpoint = *out.endpoint;
        std::string url = endpoint.tls ? "POST https://" : "POST http://";
        url.append(endpoint.host_header).append(endpoint.path);
        url.append(chat_target(request_,
                               candidate.deployment->provider->speech_for(*request_.client),
                               candidate.upstream_model));
        w_.key("url").plain(url);
    }
    w_.key("dropped_params").array();
    for (std::string_view name : request_.notes.dropped) {
        w_.plain(name);
    }
    w_.end();
    if (!built) {
        const Error &error = built.error();
        w_.key("error").object().key("message").plain(error.what).key("param").plain(error.param);
        w_.end();
    }
    std::string body;
    for (std::string_view piece : out.body) {
        body.append(piece);
    }
    if (!body.empty()) {
        w_.key("request").raw({body});
    }
}

void Explanation::write_deployment(size_t index) {
    request_.next_candidate = index + 1;
    const Candidate &candidate = request_.candidate();
    const Deployment &deployment = *candidate.deployment;
    w_.object().key("id").plain(deployment.id);
    w_.key("provider").plain(deployment.provider->name);
    w_.key("model").plain(candidate.upstream_model);
    w_.key("order").number(int64_t(deployment.order));
    w_.key("state").plain(name_of(availability(request_.config, deployment.slot)));
    Price price = price_of(request_, candidate);
    w_.key("price_known").boolean(price.is_known());
    write_request(candidate);
    w_.end();
}

// Those of the model that would not be asked now.
void Explanation::write_passed_over() {
    w_.key("passed_over").array();
    const Model *model = request_.candidates.front().model;
    for (const Deployment &deployment : model->deployments) {
        bool is_asked = false;
        for (const Candidate &candidate : request_.candidates) {
            is_asked = is_asked || candidate.deployment == &deployment;
        }
        if (is_asked) {
            continue;
        }
        ngx_msec_t wait = 0;
        w_.object().key("id").plain(deployment.id);
        w_.key("state").plain(name_of(availability(request_.config, deployment.slot, &wait)));
        w_.key("cooling_for_ms").number(int64_t(wait)).end();
    }
    w_.end();
}

void Explanation::write_fallbacks() {
    w_.key("fallbacks").array();
    for (const PlannedModel &next : request_.plan.pending) {
        w_.object().key("model").plain(next.name).key("on").plain(name_of(next.kind));
        w_.key("allowed").boolean(may_use(request_.config, request_.identity, next.name)).end();
    }
    w_.end();
}

void Explanation::write_limit(const Demand &demand, std::optional<int64_t> used) {
    auto write_amount = [&](int64_t amount) {
        demand.quantity == Quantity::cost ? w_.raw({dollars(amount)}) : w_.number(amount);
    };
    w_.object().key("scope").plain(scope_name(demand));
    w_.key(demand.scope == Scope::deployment ? "deployment" : "id").plain(demand.shown);
    if (!demand.detail.empty()) {
        w_.key("of").plain(demand.detail);
    }
    w_.key("what").plain(quantity_name(demand));
    if (demand.quantity != Quantity::parallel) {
        w_.key("period").plain(render_period(demand.period));
    }
    w_.key("limit");
    if (demand.limit == kUnlimited) {
        w_.null();
    } else {
        write_amount(demand.limit);
    }
    if (demand.soft_limit != kUnlimited) {
        w_.key("soft_limit");
        write_amount(demand.soft_limit);
    }
    w_.key("wants");
    write_amount(demand.amount);
    w_.key("used");
    if (used) {
        write_amount(*used);
    } else {
        w_.null();
    }
    w_.end();
}

void Explanation::write_limits() {
    const Estimate &estimate = request_.limits.estimate();
    w_.key("estimate").object().key("input_tokens").number(estimate.input_tokens);
    w_.key("output_tokens").number(estimate.output_tokens);
    w_.key("cost").raw({dollars(estimate.cost)}).end();
    w_.key("limits").array();
    for (size_t i = 0; i < demands_.list.size(); i++) {
        write_limit(demands_.list[i],
                    i < used_.size() ? std::optional<int64_t>(used_[i]) : std::nullopt);
    }
    w_.end();
}

void Explanation::write() {
    w_.object();
    write_key();
    w_.key("model").plain(request_.model);
    w_.key("dialect").plain(request_.client->name);
    w_.key("stream").boolean(request_.is_stream());
    w_.key("num_retries").number(int64_t(request_.plan.retries_left));
    w_.key("deployments").array();
    for (size_t i = 0; i < request_.candidates.size(); i++) {
        write_deployment(i);
    }
    w_.end();
    write_passed_over();
    write_fallbacks();
    write_limits();
    request_.next_candidate = 0;  // nobody was asked
    w_.end();
}

ByteBuffer explanation(LlmRequest &request, const Demands &demands, const UsedList &used) {
    ByteBuffer body;
    json::Writer writer(body);
    Explanation(request, demands, used, writer).write();
    return body;
}

UsedList used_of(const Config &config, const Demands &demands) {
    UsedList used;
    Clocks clocks = clocks_now();
    for (const Demand &demand : demands.list) {
        MeterKey key = key_in_zone(config, demand);
        used.push_back(used_in_zone(config, key, clocks));
    }
    return used;
}

class UsedOfDemands;

// A request that is explained as soon as Redis has said what is used. Lives in its pool.
class UsedWait {
  public:
    UsedWait(LlmRequest &request, const Demands &demands) : request_(request), demands_(demands) {}
    ~UsedWait();

    // False: Redis cannot be asked now.
    bool ask();
    void take(std::string_view answer);

  private:
    LlmRequest &request_;
    const Demands &demands_;
    UsedOfDemands *command_ = nullptr;
};

class UsedOfDemands final : public RedisCommand {
  public:
    explicit UsedOfDemands(UsedWait &wait) : wait_(&wait) {}

    void on_reply(const RedisReply &reply) override {
        tell(reply.is_error() ? std::string_view() : reply.text());
    }
    void on_lost(RedisLoss) override { tell({}); }
    void forget() { wait_ = nullptr; }

  private:
    void tell(std::string_view answer) {
        if (wait_ != nullptr) {
            wait_->take(answer);
        }
    }

    UsedWait *wait_;
};

UsedWait::~UsedWait() {
    if (command_ != nullptr) {
        command_->forget();
    }
}

bool UsedWait::ask() {
    std::string base = limits_base(redis()->config());
    if (!redis()->is_up(base)) {
        return false;
    }
    PackWriter work;
    for (const Demand &demand : demands_.list) {
        RedisCounter counter = redis_counter(request_.config, demand);
        work.add(counter.name).add(std::string_view(&counter.kind, 1));
    }
    static const RedisScript &script = redis_script("get_used");
    auto command = std::make_unique<UsedOfDemands>(*this);
    command->script = &script;
    command->args.add(int64_t(1)).add(base).add(work.array());
    command_ = command.get();
    if (!redis()->send(std::move(command), base)) {
        command_ = nullptr;
    }
    return command_ != nullptr;
}

void UsedWait::take(std::string_view answer) {
    command_ = nullptr;
    UsedList used;
    PackReader numbers(answer);
    for (size_t i = 0; i < demands_.list.size() && !answer.empty(); i++) {
        used.push_back(numbers.number());
    }
    if (numbers.is_bad()) {
        used.clear();
    }
    ngx_connection_t *c = request_.r->connection;
    ngx_http_set_log_request(c->log, request_.r);
    request_.ledger.outcome = Outcome::ok;
    request_.downstream.send_whole(NGX_HTTP_OK, "application/json",
                                   explanation(request_, demands_, used));
    ngx_http_run_posted_requests(c);
}

}  // namespace

AdminAnswer explain(AdminCall &call) {
    LlmRequest &request = call.request;
    std::string_view path =
        request.arena.copy(call.argument("path"));  // what was found refers to it
    request.endpoint = find_endpoint(path.empty() ? "/v1/chat/completions" : path, {});
    Operation operation = request.endpoint.operation;
    if (operation != Operation::chat && operation != Operation::count_tokens) {
        return admin_error(NGX_HTTP_BAD_REQUEST, "must be the path of a request for an answer",
                           "path");
    }
    if (std::string given = call.argument("key"); !given.empty()) {
        Identified found = identify_hash(call.config, hash_of_alias(call.config, given), call.now);
        if (found.state == KeyState::unknown) {
            return admin_error(NGX_HTTP_NOT_FOUND, "is not known", "key");
        }
        if (found.state != KeyState::good) {
            return admin_error(NGX_HTTP_FORBIDDEN, refusal_of(found.state).message);
        }
        request.identity = found.identity;
    }
    request.client = request.endpoint.dialect ? &dialect(*request.endpoint.dialect)
                                              : &dialect_by_headers(request.r);
    AdminAnswer answer;
    answer.is_sent = !run_until_routed(request);
    if (answer.is_sent) {
        return answer;
    }
    const Demands &demands = request.limits.demands();
    if (redis() == nullptr) {
        answer.body = explanation(request, demands, used_of(call.config, demands));
        return answer;
    }
    if (!demands.list.empty()) {
        UsedWait *wait = pool_new<UsedWait>(request.r->pool, request, demands);
        answer.is_sent = wait != nullptr && wait->ask();
    }
    if (!answer.is_sent) {
        answer.body = explanation(request, demands, {});
    }
    return answer;
}

}  // namespace llm
