'use strict';
// The slider shows every cell as it was after an epoch, and where that is in
// all charts.
(() => {
  const slider = document.querySelector('#epoch');
  const show = () => {
    const epoch = Number(slider.value);
    const texts = [];
    for (const cell of document.querySelectorAll('[data-cell]')) {
      for (const frame of cell.querySelectorAll('[data-first]')) {
        const first = Number(frame.dataset.first);
        frame.toggleAttribute('hidden', epoch < first || epoch > Number(frame.dataset.last));
        if (!frame.hasAttribute('hidden')) {
          texts.push(`${cell.dataset.cell}: ${first === epoch ? frame.dataset.change : `as after epoch ${first}`}`);
        }
      }
    }
    // What the search gave, if it is no epoch's, stands after the last one.
    const end = slider.dataset.end && slider.value === slider.max;
    const name = end ? slider.dataset.end : `epoch ${epoch}`;
    slider.setAttribute('aria-valuetext', name);
    document.querySelector('#epoch-text').textContent = name;
    document.querySelector('#epoch-changes').textContent = texts.join('; ');
    for (const line of document.querySelectorAll('.now')) {
      const x = Number(line.dataset.x) + (end ? epoch : epoch + 1) * Number(line.dataset.per);
      line.setAttribute('x1', x);
      line.setAttribute('x2', x);
      line.removeAttribute('hidden');
    }
  };
  if (slider) {
    slider.closest('.slide').removeAttribute('hidden');
    slider.value = slider.max;
    slider.addEventListener('input', show);
    show();
  }
  for (const button of document.querySelectorAll('th[aria-sort] button')) {
    button.addEventListener('click', () => {
      const head = button.closest('th');
      const table = head.closest('table');
      const up = head.getAttribute('aria-sort') === 'ascending';
      const column = [...head.parentNode.children].indexOf(head);
      for (const other of head.parentNode.children) {
        if (other.hasAttribute('aria-sort')) other.setAttribute('aria-sort', 'none');
      }
      head.setAttribute('aria-sort', up ? 'descending' : 'ascending');
      const key = (row) => {
        const text = row.children[column].dataset.key ?? row.children[column].textContent.trim();
        return text === '' || Number.isNaN(Number(text)) ? text : Number(text);
      };
      const body = table.tBodies[0];
      [...body.rows].sort((a, b) => {
        const [one, two] = [key(a), key(b)];
        const order = typeof one === typeof two ? (one < two ? -1 : one > two ? 1 : 0) : (typeof one === 'number' ? -1 : 1);
        return up ? -order : order;
      }).forEach((row) => body.append(row));
    });
  }
})();
