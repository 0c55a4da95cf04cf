// Requests on their way: parse, render for many targets, compare what both sides say.
#include "t/check/request_checks.hpp"

#include <algorithm>

#include "t/check/dialect_check.hpp"
#include "t/check/pump.hpp"
#include "translators/dialect/client_state.hpp"
#include "translators/provider/model_traits.hpp"

namespace llm::check {
namespace {

using json::Value;

std::string without_space(std::string_view text) {
    std::string out;
    for (char c : text) {
        if (c != ' ' && c != '\t' && c != '\n' && c != '\r') {
            out += c;
        }
    }
    return out;
}

// --- reading --------------------------------------------------------------------------------

// --- comparing ------------------------------------------------------------------------------

std::string joined(const std::vector<std::string> &texts) {
    std::string all;
    for (const std::string &text : texts) {
        all += without_space(text);
    }
    return all;
}

// Every text of `from`, in order, inside the texts of the target; more may stand there.
void expect_texts(std::string_view what, const std::vector<std::string> &from,
                  const std::string &to, Problems &problems) {
    size_t at = 0;
    for (const std::string &text : from) {
        std::string wanted = without_space(text);
        size_t found = to.find(wanted, at);
        if (found == std::string::npos) {
            problems.push_back(std::string(what) +
                               " is lost, changed or out of order: " + shown(text));
            return;
        }
        at = found + wanted.size();
    }
}

bool is_same_input(const std::string &from, const std::string &to) {
    if (from == to || is_same_json(arguments_text(from), to)) {
        return true;
    }
    Document document(to, {.allow_lone_surrogates = true});
    if (without_space(from) == "null" && to == "{}") {
        return true;
    }
    return document && (plain(document.root()["raw_arguments"].text()) == from ||
                        plain(document.root()["input"].text()) == from);  // a free text tool's
}

void expect_calls(const Said &from, const Said &to, const Notes &notes, Problems &problems) {
    if (from.calls.size() != to.calls.size()) {
        problems.push_back(std::to_string(to.calls.size()) + " calls instead of " +
                           std::to_string(from.calls.size()));
        return;
    }
    for (size_t i = 0; i < from.calls.size(); i++) {
        std::string name = to.calls[i].name;
        for (const Renamed &renamed : notes.renamed) {
            name = plain(renamed.sent) == name ? plain(renamed.original) : name;
        }
        if (name != from.calls[i].name ||
            !is_same_input(from.calls[i].arguments, to.calls[i].arguments)) {
            problems.push_back("a call is changed: " + shown(from.calls[i].arguments) + " to " +
                               shown(to.calls[i].arguments));
        }
        // The last result for a call is the one that counts.
        for (size_t r = from.results.size(); r-- > 0;) {
            if (from.results[r].id != from.calls[i].id) {
                continue;
            }
            bool is_found = false;
            for (const Said::Result &result : to.results) {
                is_found |= result.id == to.calls[i].id &&
                            without_space(result.text).find(without_space(from.results[r].text)) !=
                                std::string::npos;
            }
            if (!is_found) {
                problems.push_back("a result is lost: " + shown(from.results[r].text));
            }
            break;
        }
    }
}

bool is_dropped(const Notes &notes, std::string_view word) {
    return std::any_of(notes.dropped.begin(), notes.dropped.end(), [&](std::string_view name) {
        return name.find(word) != std::string_view::npos;
    });
}

void compare_requests(const Said &from, const Said &to, const Notes &notes, Problems &problems) {
    expect_texts("text of the user", from.user, joined(to.user) + joined(to.system), problems);
    if (!is_dropped(notes, "prefill")) {
        expect_texts("text of the assistant", from.assistant, joined(to.assistant), problems);
    }
    // Later system messages may have moved.
    std::string everywhere = joined(to.system) + "\n" + joined(to.user);
    for (const std::string &text : from.system) {
        expect_texts("system text", {text}, everywhere, problems);
    }
    expect_calls(from, to, notes, problems);
    if (notes.dropped.empty() &&
        (from.images.size() != to.images.size() ||
         !std::is_permutation(from.images.begin(), from.images.end(), to.images.begin()))) {
        problems.push_back("images are lost or changed");
    }
}

std::string render(const Dialect &to, const ir::Request &request, const Target &target,
                   Arena &arena, Notes &notes, Error &error) {
    ByteBuffer out;
    json::Writer writer(out);
    Status status = to.render_request(request, target, arena, writer, notes);
    if (!status) {
        error = status.error();
        return {};
    }
    return std::string(out.view());
}

std::string write_again(const Dialect &to, const std::string &body, const Target &target,
                        Error &error) {
    Document document(body);
    Arena arena;
    ir::Request request;
    if (Status parsed = to.parse_request(document.root(), arena, request); !parsed) {
        error = parsed.error();
        return {};
    }
    Notes notes;
    return render(to, request, target, arena, notes, error);
}

size_t count_marks(std::string_view body) {
    size_t marks = 0;
    for (size_t at = body.find("\"cache_control\""); at != std::string_view::npos;
         at = body.find("\"cache_control\"", at + 1)) {
        marks++;
    }
    return marks;
}

// Its own dialect's request, read and written again, must be the same bytes.
void check_fixed_point(const Dialect &to, std::string body, const Target &target,
                       Problems &problems) {
    Error error;
    std::string again = write_again(to, body, target, error);
    if (again != body) {
        size_t at = 0;
        while (at < again.size() && at < body.size() && again[at] == body[at]) {
            at++;
        }
        problems.push_back("read and written again it differs: " +
                           (again.empty() ? std::string(error.what)
                                          : shown(body.substr(at, 60)) + " becomes " +
                                                shown(again.substr(at, 60))));
    }
}

}  // namespace

void add_text(std::vector<std::string> &to, Value text) {
    if (text.is_string() && !json::is_blank(text.text())) {
        to.push_back(plain(text.text()));
    }
}

const std::vector<Aim> &aims() {
    static const std::vector<Aim> kAll = [] {
        std::vector<Aim> all;
        for (const DialectCheck *row : dialect_checks()) {
            all.insert(all.end(), row->aims.begin(), row->aims.end());
        }
        return all;
    }();
    return kAll;
}

bool check_request(DialectId client, std::string_view bytes, RequestReport &report,
                   std::string &why, Problems &problems) {
    const Dialect &from = dialect(client);
    Document document(bytes);
    if (!document) {
        why = "no JSON";
        return false;
    }
    Arena arena;
    ir::Request request;
    auto envelope = from.read_envelope(document.root());
    if (!envelope) {
        why = envelope.error().what;
        return false;
    }
    if (Status parsed = from.parse_request(document.root(), arena, request); !parsed) {
        if (parsed.error().code == Errc::unsupported && !parsed.error().param.empty()) {
            report.refused.push_back(std::string("by all: ").append(parsed.error().param));
            check_splice(client, bytes, problems);  // its own dialect takes it
            return true;
        }
        why = std::string(parsed.error().what) + " (" + std::string(parsed.error().param) + ")";
        return false;
    }
    Said said = check_of(client).read_request(document.root());
    for (const Aim &aim : aims()) {
        for (bool drop_params : {false, true}) {
            std::string where = std::string("for ").append(aim.model) +
                                (drop_params ? " with drop_params: " : ": ");
            const Dialect &to = dialect(aim.dialect);
            Target target;
            target.model = aim.model;
            target.traits = model_traits(aim.dialect, aim.model, aim.is_official);
            target.drop_params = drop_params;
            Notes notes;
            Error error;
            Status state = check_state(request, aim.dialect);
            std::string body;
            if (state) {
                body = render(to, request, target, arena, notes, error);
            } else {
                error = state.error();
            }
            if (body.empty()) {
                if (error.code != Errc::unsupported || error.param.empty()) {
                    problems.push_back(where +
                                       "refused without a name: " + std::string(error.what));
                }
                report.refused.push_back(where + std::string(error.param));
                continue;
            }
            report.rendered++;
            Document rendered(body);
            if (!rendered) {
                problems.push_back(where + "what is rendered is no JSON");
                continue;
            }
            Problems found;
            bool has_model = to.chat_path.find("{model}") == std::string_view::npos;
            if (has_model && !rendered.root()["model"].equals(aim.model)) {
                found.push_back("it names another model");
            }
            if (client != aim.dialect) {
                check_of(aim.dialect).check_rules(rendered.root(), target.traits, found);
            }
            Said target_said = check_of(aim.dialect).read_request(rendered.root());
            compare_requests(said, target_said, notes, found);
            if (to.parse_request != nullptr &&
                count_marks(bytes) > 4) {  // the shape of a block whose mark went changes once
                body = write_again(to, body, target, error);
            }
            if (to.parse_request != nullptr) {
                check_fixed_point(to, body, target, found);
            }
            for (const std::string &problem : found) {
                problems.push_back(where + problem);
            }
        }
    }
    check_splice(client, bytes, problems);
    return true;
}

std::string splice(DialectId client, std::string_view bytes, const Target &target) {
    const Dialect &to = dialect(client);
    Document document(bytes);
    auto envelope = to.read_envelope(document.root());
    std::vector<Edit> edits;
    Notes notes;
    if (!envelope || !to.splice_request(document.root(), *envelope, target, edits, notes)) {
        return {};
    }
    std::string out;
    size_t at = 0;
    for (const Edit &edit : edits) {
        out.append(bytes.substr(at, edit.begin - at)).append(edit.text);
        at = edit.end;
    }
    return out.append(bytes.substr(at));
}

void check_splice(DialectId client, std::string_view bytes, Problems &problems) {
    Target target;
    target.model = "another/model \"x\"";
    target.traits.strict_members = false;  // a service that takes everything
    target.traits.developer_role = true;
    bool counts = client == DialectId::openai || client == DialectId::completions;
    std::string sent = splice(client, bytes, target);
    Document before(bytes), after(sent);
    if (!before || !after) {
        problems.push_back("pass-through breaks the body");
        return;
    }
    bool is_in_path = dialect(client).chat_path.find("{model}") != std::string_view::npos;
    if (!is_in_path && !after.root()["model"].equals(target.model)) {
        problems.push_back("pass-through does not set the model");
    }
    for (auto [key, value] : before.root().members()) {
        std::string name = plain(key);
        Value now = after.root()[name];
        // Signatures of other makers do not pass.
        bool is_history = name == "contents" || name == "messages" || name == "input";
        if (is_history && (bytes.find("gw1.") != std::string_view::npos ||
                           bytes.find("Z3cxL") != std::string_view::npos)) {
            continue;
        }
        if (name != "model" && name != "stream_options" && now.raw().bytes != value.raw().bytes) {
            problems.push_back("pass-through changes " + name);
        }
    }
    bool is_stream = before.root()["stream"].is_true();
    for (auto [key, value] : after.root().members()) {
        std::string name = plain(key);
        bool is_new = before.root()[name].absent();
        if (is_new && (name != "stream_options" || !is_stream || !counts)) {
            problems.push_back("pass-through adds " + name);
        }
    }
    if (is_stream && counts && !after.root()["stream_options"]["include_usage"].is_true()) {
        problems.push_back("pass-through does not ask for usage");
    }
}

}  // namespace llm::check
