// Properties of streams; see stream_checks.hpp. Each function notes problems with the offset or
// the framing at which they show.
#include "t/check/stream_checks.hpp"

#include <algorithm>

#include "t/check/dialect_check.hpp"
#include "t/check/pump.hpp"

namespace llm::check {
namespace {

void add(Problems &to, const Problems &from, const std::string &where) {
    for (const std::string &problem : from) {
        if (to.size() < 40) {
            to.push_back(where + ": " + problem);
        }
    }
}

// The first place where two transcripts part.
std::string difference(const std::string &a, const std::string &b) {
    size_t at = 0;
    while (at < a.size() && at < b.size() && a[at] == b[at]) {
        at++;
    }
    size_t line = at == 0 ? 0 : a.rfind('\n', at - 1) + 1;
    return "expected " + shown(a.substr(std::min(line, a.size()), 160)) + ", got " +
           shown(b.substr(std::min(line, b.size()), 160));
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
    for (size_t at = text.find(from); at != std::string::npos;
         at = text.find(from, at + to.size())) {
        text.replace(at, from.size(), to);
    }
    return text;
}

class PassCheck final : public wire::SseHandler {
  public:
    explicit PassCheck(Observer &observer) : observer_(observer) {}

    Status on_sse(const wire::SseEvent &frame) override {
        Observation seen = observer_.on_frame(frame);
        has_content |= seen.is_content;
        has_error |= seen.is_error;
        if (seen.is_error && error_class.empty()) {
            error_class = spelling(observer_.error().error_class).name;
        }
        return {};
    }

    bool has_content = false;
    bool has_error = false;
    std::string error_class;

  private:
    Observer &observer_;
};

}  // namespace

void check_cuts(DialectId provider, std::string_view bytes, size_t budget, Problems &problems) {
    std::string whole = decode(provider, bytes).transcript();
    size_t runs = std::max<size_t>(budget / std::max<size_t>(bytes.size(), 1), 16);
    size_t step = std::max<size_t>(bytes.size() / runs, 1);
    Cuts places;
    for (size_t cut = 0; cut <= bytes.size(); cut += step) {
        places.push_back(cut);
    }
    if (step > 1) {
        // Around the ends of frames there are most ways to be wrong.
        std::vector<size_t> ends = frame_ends(provider, bytes);
        for (size_t i = 0; i < ends.size(); i += ends.size() / 16 + 1) {
            for (size_t cut = ends[i] - std::min<size_t>(ends[i], 4);
                 cut <= std::min(ends[i] + 8, bytes.size()); cut++) {
                places.push_back(cut);
            }
        }
    }
    for (size_t cut : places) {
        EventLog log = decode(provider, bytes, {cut});
        if (log.transcript() != whole) {
            problems.push_back("cut at byte " + std::to_string(cut) + ": " +
                               difference(whole, log.transcript()));
            return;
        }
    }
    for (size_t size : {1, 2, 3, 7, 61}) {
        Cuts cuts;
        for (size_t cut = size; cut < bytes.size(); cut += size) {
            cuts.push_back(cut);
        }
        EventLog log = decode(provider, bytes, cuts);
        if (log.transcript() != whole) {
            problems.push_back("pieces of " + std::to_string(size) +
                               " bytes: " + difference(whole, log.transcript()));
            return;
        }
    }
}

void check_framings(DialectId provider, std::string_view bytes, Problems &problems) {
    std::string whole = decode(provider, bytes).transcript();
    std::string lf = replaced(std::string(bytes), "\r\n", "\n");
    struct Form {
        const char *name;
        std::string text;
    };
    const Form forms[] = {
        {"line feeds", lf},
        {"CRLF", replaced(lf, "\n", "\r\n")},
        {"carriage returns", replaced(lf, "\n", "\r")},
        {"no space behind the colon",
         replaced(replaced(lf, "\ndata: ", "\ndata:"), "\nevent: ", "\nevent:")},
        {"comments between events", replaced(lf, "\n\n", "\n\n: a comment\n\n")},
        {"comments inside events", replaced(lf, "\ndata:", "\n: a comment\ndata:")},
        {"ids and retry times", replaced(lf, "\ndata:", "\nid: 7\nretry: 10\ndata:")},
        {"a byte order mark", "\xef\xbb\xbf" + lf},
        {"more blank lines", replaced(lf, "\n\n", "\n\n\n\n")},
    };
    for (const Form &form : forms) {
        EventLog log = decode(provider, form.text);
        if (log.transcript() != whole) {
            problems.push_back(std::string("with ") + form.name + ": " +
                               difference(whole, log.transcript()));
        }
    }
}

void check_truncations(DialectId provider, std::string_view bytes, size_t most,
                       Problems &problems) {
    std::vector<size_t> ends = frame_ends(provider, bytes);
    ends.insert(ends.begin(), 0);
    size_t step = ends.size() / std::max<size_t>(most, 1) + 1;
    bool was_complete = false;
    for (size_t i = 0; i < ends.size(); i += step) {
        for (size_t back : {0, 1, 9}) {  // between frames, and inside one
            size_t end = ends[i] - std::min<size_t>(ends[i], back);
            std::string where = "ended at byte " + std::to_string(end);
            EventLog log = decode(provider, bytes.substr(0, end));
            Answer answer = log.answer();
            add(problems, log.problems(), where);
            if (answer.is_complete == answer.has_error) {
                problems.push_back(where + ": neither complete nor an error, or both");
            }
            if (was_complete && back == 0 && !answer.is_complete && end < bytes.size()) {
                // An answer was complete and is again cut by more input: only an error may follow.
                if (answer.error_class == "stream_truncated") {
                    problems.push_back(where + ": truncated behind its end");
                }
            }
            was_complete = back == 0 ? answer.is_complete : was_complete;
            for (DialectId client : client_dialects()) {
                Problems found;
                std::string out = translate(provider, client, bytes.substr(0, end));
                Answer got = read_stream(client, out, found);
                compare_with_client(answer, got, client, found);
                add(problems, found, where + ", for " + std::string(dialect(client).name));
            }
            if (problems.size() > 10) {
                return;
            }
        }
    }
}

void check_clients(DialectId provider, std::string_view bytes, const Answer &answer,
                   Problems &problems) {
    for (DialectId client : client_dialects()) {
        Problems found;
        std::string out = translate(provider, client, bytes);
        Answer got = read_stream(client, out, found);
        compare_with_client(answer, got, client, found);
        add(problems, found, "for a client of " + std::string(dialect(client).name));
    }
    // A client that asked for no usage and is not shown thinking.
    FixedIds ids;
    ClientView view = full_view(ids);
    view.usage_wanted = false;
    view.show_reasoning = false;
    for (DialectId client : client_dialects()) {
        Problems found;
        Answer quiet = check_of(client).read_stream(translate(provider, view, client, bytes),
                                                    {.usage_chunk = false}, found);
        std::string where =
            "for a client of " + std::string(dialect(client).name) + " without extras";
        add(problems, found, where);
        for (const auto &[index, message] : quiet.choices) {
            bool is_signed = !message.signatures.empty() || !message.redacted.empty();
            if (!message.reasoning.empty() || (is_signed && !check_of(client).signs_unasked)) {
                problems.push_back(where + ": reasoning is shown to one that must not see it");
            }
        }
    }
}

void check_observer(DialectId provider, std::string_view bytes, const Answer &answer,
                    Problems &problems) {
    auto observer = dialect(provider).make_observer({});
    PassCheck check(*observer);
    wire::SseSplitter splitter;
    std::string padded(bytes);
    padded.append(json::kPadding, ' ');
    (void)splitter.feed(std::string_view(padded.data(), bytes.size()), check);
    (void)splitter.finish(check);
    ByteBuffer tail;
    bool is_complete = observer->finish(tail);
    if (answer.has_error) {
        // Frames that make no sense pass as they are; an end that is none must be seen.
        if (is_complete && !check.has_error && answer.error_class == "stream_truncated") {
            problems.push_back("pass-through takes a broken stream for a complete one");
        }
        if (check.has_error && answer.error_class != check.error_class) {
            problems.push_back("pass-through: error " + check.error_class + " instead of " +
                               answer.error_class);
        }
        return;
    }
    if (!is_complete || check.has_error) {
        problems.push_back("pass-through takes a complete stream for a broken one");
    }
    const Message &first = answer.first();
    bool has_content = !first.text.empty() || !first.reasoning.empty() || !first.calls.empty() ||
                       !first.refusal.empty();
    if (has_content && !check.has_content) {
        problems.push_back("pass-through sees no content");
    }
    const Usage &usage = observer->usage();
    if (usage.known != answer.usage.known || usage.input != answer.usage.input ||
        usage.output != answer.usage.output || usage.cache_read != answer.usage.cache_read ||
        usage.cache_write != answer.usage.cache_write ||
        usage.reasoning != answer.usage.reasoning) {
        problems.push_back("pass-through counts other tokens than translation");
    }
    if (plain(observer->model()) != answer.model) {
        problems.push_back("pass-through: model " + shown(observer->model()) + " instead of " +
                           shown(answer.model));
    }
    // Of several choices any may stand for all.
    if (answer.choices.size() < 2 && plain(observer->finish_reason()) != first.native) {
        problems.push_back("pass-through: finish " + shown(observer->finish_reason()) +
                           " instead of " + shown(first.native));
    }
}

Answer check_stream(DialectId provider, std::string_view bytes, const Effort &effort,
                    Problems &problems) {
    EventLog log = decode(provider, bytes);
    add(problems, log.problems(), "events");
    Answer answer = log.answer();
    check_clients(provider, bytes, answer, problems);
    if (dialect(provider).make_observer != nullptr) {
        check_observer(provider, bytes, answer, problems);
    }
    check_cuts(provider, bytes, effort.cut_bytes, problems);
    if (check_of(provider).frame_ends == nullptr) {
        check_framings(provider, bytes, problems);
    }
    check_truncations(provider, bytes, effort.truncations, problems);
    return answer;
}

bool check_whole(DialectId provider, std::string_view bytes, Answer &answer, Problems &problems) {
    const Dialect &from = dialect(provider);
    Document body(bytes, {.allow_lone_surrogates = true});
    Usage usage;
    JsonText model, finish;
    bool is_observed = from.observe_response != nullptr;
    if (!body || (is_observed && !from.observe_response(body.root(), usage, model, finish))) {
        return false;
    }
    Arena arena;
    ir::Response response;
    if (Status parsed = from.parse_response(body.root(), arena, response); !parsed) {
        problems.push_back("not understood: " + std::string(parsed.error().what));
        return true;
    }
    answer = answer_of(response, provider);
    if (is_observed && (usage.known != answer.usage.known || usage.input != answer.usage.input ||
                        usage.output != answer.usage.output)) {
        problems.push_back("pass-through counts other tokens than translation");
    }
    if (is_observed && (plain(model) != answer.model || plain(finish) != answer.first().native)) {
        problems.push_back("pass-through sees another model or finish reason");
    }

    EventLog log(provider);
    ir::replay(response, log);
    add(problems, log.problems(), "replayed");
    Problems found;
    compare_same(answer, log.answer(), found);
    add(problems, found, "replayed");

    for (DialectId client : client_dialects()) {
        std::string where = "for a client of " + std::string(dialect(client).name);
        FixedIds ids;
        ByteBuffer out;
        json::Writer writer(out);
        Arena scratch;
        dialect(client).render_response(response, full_view(ids), scratch, writer);
        found.clear();
        Answer got = read_body(client, out.view(), found);
        compare_with_client(answer, got, client, found);
        add(problems, found, where);

        ByteBuffer stream;
        auto encoder = dialect(client).make_encoder(full_view(ids));
        struct Sink final : ir::EventSink {
            Sink(Encoder &e, ByteBuffer &b) : encoder(e), bytes(b) {}
            void on_event(const ir::StreamEvent &event) override { encoder.event(event, bytes); }
            Encoder &encoder;
            ByteBuffer &bytes;
        } sink(*encoder, stream);
        ir::replay(response, sink);
        found.clear();
        got = read_stream(client, stream.view(), found);
        compare_with_client(answer, got, client, found);
        add(problems, found, where + ", replayed");
    }
    return true;
}

std::string check_error_body(uint16_t status, std::string_view body, Problems &problems) {
    Document document(body, {.allow_lone_surrogates = true});
    Arena arena;
    ApiError error =
        read_error(status, document ? document.root() : json::Value(), document.bytes(), arena);
    for (DialectId client : client_dialects()) {
        ByteBuffer out;
        json::Writer writer(out);
        uint16_t told = dialect(client).render_error(error, "req_1", writer);
        Document rendered(out.view());
        json::Value inner = rendered ? rendered.root()["error"] : json::Value();
        bool has_kind = !inner["type"].text().empty() || !inner["status"].text().empty();
        if (told < 400 || inner["message"].text().empty() || !has_kind) {
            problems.push_back("the error cannot be said in " + std::string(dialect(client).name));
        }
        ByteBuffer frame;
        dialect(client).render_error_frame(error, frame);
        Problems found;
        Answer got = read_stream(client, frame.view(), found);
        if (!got.has_error || !found.empty()) {
            add(problems, found, "error frame of " + std::string(dialect(client).name));
        }
    }
    return std::string(spelling(error.error_class).name);
}

}  // namespace llm::check
