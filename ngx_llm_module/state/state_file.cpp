#include "ngx_llm_module/state/state_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "translators/json/reader.hpp"
#include "translators/json/writer.hpp"

namespace llm {
namespace {

constexpr std::string_view kHeader = "{\"llm_state\":1}";
constexpr size_t kCrcSize = 8;
constexpr off_t kMaxFile = off_t(4) << 30;
constexpr off_t kJournalAtLeast = 1 << 20;
constexpr size_t kPiece = 64 << 10;  // is written at once

uint32_t crc_of(std::string_view text) {
    return ngx_crc32_long(reinterpret_cast<u_char *>(const_cast<char *>(text.data())), text.size());
}

void append_line(std::string_view json, std::string &out) {
    char crc[kCrcSize + 2];
    snprintf(crc, sizeof(crc), "%08x ", crc_of(json));
    out.append(crc, kCrcSize + 1).append(json).append(1, '\n');
}

// Without its CRC; empty: damaged.
std::string_view check_line(std::string_view line) {
    uint32_t crc = 0;
    if (line.size() < kCrcSize + 2 || line[kCrcSize] != ' ') {
        return {};
    }
    auto [end, code] = std::from_chars(line.data(), line.data() + kCrcSize, crc, 16);
    std::string_view json = line.substr(kCrcSize + 1);
    return code == std::errc() && end == line.data() + kCrcSize && crc == crc_of(json)
               ? json
               : std::string_view();
}

void write_record(json::Writer &w, RecordKind kind, std::string_view id, std::string_view json,
                  uint64_t version) {
    w.object().key("kind").plain(kRecordKinds[size_t(kind)]).key("id").plain(id);
    w.key("version").number(int64_t(version)).key("record");
    json.empty() ? w.null() : w.raw(RawJson{json});
    w.end();
}

class File {
  public:
    File(const std::string &path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0600)) {}
    ~File() {
        if (fd_ >= 0) {
            ::close(fd_);
        }
    }
    File(const File &) = delete;
    File &operator=(const File &) = delete;
    int fd() const { return fd_; }
    bool is_open() const { return fd_ >= 0; }

  private:
    int fd_;
};

class FileLock {
  public:
    explicit FileLock(int fd) : fd_(fd) {
        while (flock(fd_, LOCK_EX) != 0 && errno == EINTR) {
        }
    }
    ~FileLock() { flock(fd_, LOCK_UN); }
    FileLock(const FileLock &) = delete;
    FileLock &operator=(const FileLock &) = delete;

  private:
    int fd_;
};

bool write_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        ssize_t written = ::write(fd, bytes.data(), bytes.size());
        if (written < 0 && errno != EINTR) {
            return false;
        }
        bytes.remove_prefix(written > 0 ? size_t(written) : 0);
    }
    return true;
}

// A missing file is an empty one. False: errno says why.
bool read_file(const std::string &path, std::string &text) {
    File file(path, O_RDONLY);
    struct stat info;
    if (!file.is_open()) {
        return errno == ENOENT;
    }
    if (fstat(file.fd(), &info) != 0) {
        return false;
    }
    if (info.st_size > kMaxFile || !S_ISREG(info.st_mode)) {
        errno = EFBIG;
        return false;
    }
    text.resize(size_t(info.st_size));
    size_t size = 0;
    while (size < text.size()) {
        ssize_t got = ::read(file.fd(), text.data() + size, text.size() - size);
        if (got < 0 && errno != EINTR) {
            return false;
        }
        if (got == 0) {
            break;
        }
        size += got > 0 ? size_t(got) : 0;
    }
    text.resize(size);
    return true;
}

int sync_directory(const std::string &path) {
    size_t slash = path.rfind('/');
    File directory(slash == std::string::npos ? "." : path.substr(0, slash + 1), O_RDONLY);
    return directory.is_open() && fsync(directory.fd()) == 0 ? 0 : errno;
}

std::string journal_of(const Config &config) {
    return config.state_path + ".journal";
}

std::string section_of(const Config &config, const StateSection &section) {
    return config.state_path + "." + std::string(section.name);
}

struct Head {
    char text[64];
    size_t size;

    Head(size_t body, uint32_t crc)
        : size(size_t(snprintf(text, sizeof(text), "llm_state 1 %zu %08x\n", body, crc))) {}
    std::string_view view() const { return {text, size}; }
};

// --- loading ---

class Loader {
  public:
    Loader(const Config &config, ngx_log_t *log) : config_(config), log_(log) {}

    bool load_snapshot();
    bool load_journal();
    bool load_section(const StateSection &section);
    size_t records() const { return records_; }

  private:
    bool complain(const std::string &path, const char *what, int error = 0) const {
        ngx_log_error(NGX_LOG_EMERG, log_, error,
                      "llm: the state in \"%s\" %s; it is left as it is", path.c_str(), what);
        return false;
    }
    bool read(const std::string &path, std::string &text) const {
        return read_file(path, text) || complain(path, "cannot be read", errno);
    }
    const char *take_line(std::string_view json);

    const Config &config_;
    ngx_log_t *log_;
    json::Reader reader_;
    size_t records_ = 0;
};

// Nothing, or what is wrong.
const char *Loader::take_line(std::string_view text) {
    Result<json::Value> root = reader_.parse_unpadded(text);
    if (!root || !root->is_array()) {
        return "has a line that cannot be understood";
    }
    Arena arena;
    for (json::Value item : root->items()) {
        std::string_view name = json::unescape(item["kind"].text(), arena);
        const auto *kind = std::find(std::begin(kRecordKinds), std::end(kRecordKinds), name);
        std::optional<int64_t> version = item["version"].as_int();
        json::Value record = item["record"];
        if (kind == std::end(kRecordKinds) || !version || !item["id"].is_string() ||
            !(record.is_null() || record.is_object())) {
            return "has a record that cannot be understood";
        }
        if (!merge_record(config_, RecordKind(kind - std::begin(kRecordKinds)),
                          json::unescape(item["id"].text(), arena),
                          record.is_null() ? std::string_view() : record.raw().bytes,
                          uint64_t(*version))) {
            return "is larger than the zone: llm_zone needs a larger size";
        }
        records_++;
    }
    return nullptr;
}

bool Loader::load_snapshot() {
    const std::string &path = config_.state_path;
    std::string text;
    if (!read(path, text)) {
        return false;
    }
    if (text.empty()) {
        return true;
    }
    // The first line says what this is, the last one that nothing is missing.
    std::string_view rest = text;
    bool has_header = false;
    bool has_end = false;
    while (!rest.empty()) {
        size_t end = rest.find('\n');
        std::string_view json = check_line(rest.substr(0, end));
        if (json.empty() || end == std::string_view::npos || has_end) {
            return complain(path, "is damaged");
        }
        rest.remove_prefix(end + 1);
        if (!has_header) {
            has_header = json == kHeader;
            if (!has_header) {
                return complain(path, "is not from this version of the module");
            }
        } else if (json == "[]") {
            has_end = true;
        } else if (const char *wrong = take_line(json)) {
            return complain(path, wrong);
        }
    }
    return has_end || complain(path, "is damaged: its end is missing");
}

bool Loader::load_journal() {
    std::string path = journal_of(config_);
    std::string text;
    if (!read(path, text)) {
        return false;
    }
    std::string_view rest = text;
    while (!rest.empty()) {
        size_t end = rest.find('\n');
        std::string_view json = check_line(rest.substr(0, end));
        bool is_last = end == std::string_view::npos || end + 1 == rest.size();
        if (end == std::string_view::npos || (json.empty() && is_last)) {
            ngx_log_error(NGX_LOG_WARN, log_, 0,
                          "llm: the last line of \"%s\" was cut off by a crash before anybody was "
                          "told of it: dropped",
                          path.c_str());
            return true;
        }
        if (json.empty()) {
            return complain(path, "is damaged");
        }
        if (const char *wrong = take_line(json)) {
            return complain(path, wrong);
        }
        rest.remove_prefix(end + 1);
    }
    return true;
}

bool Loader::load_section(const StateSection &section) {
    std::string path = section_of(config_, section);
    std::string text;
    if (!read(path, text)) {
        return false;
    }
    if (text.empty()) {
        return true;
    }
    size_t end = text.find('\n');
    std::string_view rest = end == std::string::npos ? "" : std::string_view(text).substr(end + 1);
    if (!text.starts_with(Head(rest.size(), crc_of(rest)).view())) {
        return complain(path, "is damaged");
    }
    return section.load(config_, rest) || complain(path, "cannot be understood");
}

}  // namespace

bool load_state(const Config &config, ngx_log_t *log) {
    Loader loader(config, log);
    if (!loader.load_snapshot() || !loader.load_journal()) {
        return false;
    }
    for (const StateSection &section : state_sections) {
        if (!loader.load_section(section)) {
            return false;
        }
    }
    ngx_log_error(NGX_LOG_NOTICE, log, 0, "llm: read %uz records from \"%s\"", loader.records(),
                  config.state_path.c_str());
    return true;
}

std::string render_changes(std::span<const RecordChange> changes) {
    ByteBuffer json;
    json::Writer w(json);
    w.array();
    for (const RecordChange &change : changes) {
        write_record(w, change.kind, change.id, change.json, change.version);
    }
    w.end();
    std::string line;
    append_line(json.view(), line);
    return line;
}

StateWriter::StateWriter(std::string path, int journal, std::string &buffer)
    : path_(std::move(path)), buffer_(buffer) {
    fd_ = ::open((path_ + ".new").c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct stat owner;
    if (fd_ < 0 || fstat(journal, &owner) != 0 ||
        (geteuid() == 0 && fchown(fd_, owner.st_uid, owner.st_gid) != 0)) {
        error_ = errno;
    }
}

StateWriter::~StateWriter() {
    buffer_.clear();
    if (fd_ >= 0) {
        ::close(fd_);
    }
}

void StateWriter::begin(size_t head) {
    buffer_.clear();
    head_ = head;
    size_ = 0;
    crc_ = 0xffffffff;
    if (error_ == 0 && (ftruncate(fd_, 0) != 0 || lseek(fd_, off_t(head), SEEK_SET) < 0)) {
        error_ = errno;
    }
}

void StateWriter::append(std::string_view text) {
    size_ += text.size();
    ngx_crc32_update(&crc_, reinterpret_cast<u_char *>(const_cast<char *>(text.data())),
                     text.size());
    if (buffer_.size() + text.size() > kPiece) {
        flush();
    }
    text.size() > kPiece ? write(text) : void(buffer_.append(text));
}

void StateWriter::flush() {
    write(buffer_);
    buffer_.clear();
}

void StateWriter::write(std::string_view bytes) {
    if (error_ == 0 && !write_all(fd_, bytes)) {
        error_ = errno;
    }
}

int StateWriter::replace(std::string_view head) {
    flush();
    if (error_ == 0 && !head.empty() && lseek(fd_, 0, SEEK_SET) < 0) {
        error_ = errno;
    }
    write(head);
    if (error_ == 0 && (fsync(fd_) != 0 || rename((path_ + ".new").c_str(), path_.c_str()) != 0)) {
        error_ = errno;
    }
    return error_ == 0 ? sync_directory(path_) : error_;
}

StateFile::StateFile(const Config &config) : config_(config) {
    if (!config.state_path.empty()) {
        buffer_.reserve(kPiece);  // not in a thread: each has a heap of its own
    }
}

StateFile::~StateFile() {
    if (fd_ >= 0) {
        ::close(fd_);
    }
}

int StateFile::open() {
    std::string path = journal_of(config_);
    fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd_ < 0) {
        return errno;
    }
    // A last line that was dropped when the journal was read must not come to stand between others.
    FileLock lock(fd_);
    std::string text;
    if (!read_file(path, text)) {
        return errno;
    }
    if (text.size() < 2 || text.back() != '\n') {
        return 0;  // append sees to a piece of a line
    }
    size_t before = text.rfind('\n', text.size() - 2);
    size_t begin = before == std::string::npos ? 0 : before + 1;
    std::string_view line = std::string_view(text).substr(begin, text.size() - begin - 1);
    return check_line(line).empty() && ftruncate(fd_, off_t(begin)) != 0 ? errno : 0;
}

int StateFile::open_existing() {
    fd_ = ::open(journal_of(config_).c_str(), O_RDWR | O_APPEND | O_CLOEXEC);
    return fd_ >= 0 ? 0 : errno;
}

int StateFile::append(std::string_view lines) {
    if (fd_ < 0) {
        return EBADF;
    }
    FileLock lock(fd_);
    struct stat info;
    if (fstat(fd_, &info) != 0) {
        return errno;
    }
    // Whoever was killed while writing has left a piece of a line: nobody was told of it.
    off_t size = info.st_size;
    char last = '\n';
    while (size > 0 && pread(fd_, &last, 1, size - 1) == 1 && last != '\n') {
        size--;
    }
    if (size != info.st_size && ftruncate(fd_, size) != 0) {
        return errno;
    }
    if (write_all(fd_, lines) && fdatasync(fd_) == 0) {
        return 0;
    }
    int error = errno;
    if (ftruncate(fd_, size) != 0) {
        return errno;
    }
    return error;
}

int StateFile::write_snapshot() {
    if (fd_ < 0) {
        return EBADF;
    }
    FileLock lock(fd_);
    StateWriter file(config_.state_path, fd_, buffer_);
    std::string line;
    auto write_line = [&](std::string_view json) {
        line.clear();
        append_line(json, line);
        file.append(line);
    };
    write_line(kHeader);
    for_each_record(config_, [&](RecordKind kind, const std::string &id, const std::string &json,
                                 uint64_t version) {
        ByteBuffer out;
        json::Writer w(out);
        w.array();
        write_record(w, kind, id, json, version);
        w.end();
        write_line(out.view());
    });
    write_line("[]");
    if (int error = file.replace()) {
        return error;
    }
    return ftruncate(fd_, 0) == 0 && fdatasync(fd_) == 0 ? 0 : errno;
}

int StateFile::save_section(const StateSection &section) {
    if (fd_ < 0) {
        return EBADF;
    }
    FileLock lock(fd_);
    std::string path = section_of(config_, section);
    struct stat last;
    size_t guess = stat(path.c_str(), &last) == 0 ? size_t(last.st_size) : 0;
    StateWriter file(path, fd_, buffer_);
    // The head says how much follows, and has room for as many digits as it had before: nearly
    // always that is right.
    for (;;) {
        size_t room = Head(guess, 0).size;
        file.begin(room);
        section.save(config_, file);
        Head head(file.size(), file.crc());
        if (head.size == room) {
            return file.replace(head.view());
        }
        guess = file.size();
    }
}

bool StateFile::is_snapshot_due() const {
    struct stat journal, snapshot;
    if (fd_ < 0 || fstat(fd_, &journal) != 0 || journal.st_size < kJournalAtLeast) {
        return false;
    }
    return stat(config_.state_path.c_str(), &snapshot) != 0 ||
           journal.st_size > 2 * snapshot.st_size;
}

}  // namespace llm
